"""What a picture of a task should tell: named positions and velocities from the true simulator.

Angles that turn all the way round are given as cosine and sine; joints with limits as they are.
Two things are left out because no camera shows them. The walker's, cheetah's and hopper's
cameras travel with the body, so its place along the track is invisible (its speed is not: the
ground passes by). And what looks alike cannot be told apart: the walker's two legs have one
colour, so only sums over both are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

# Numbers, or dm_control's arrays of one number.
Named = dict[str, Any]
Measure = Callable[[Any], tuple[Named, Named]]


def measure(task: str, physics: Any) -> tuple[dict[str, float], dict[str, float]]:
    """Named positions and velocities of the present state; metres, radians and seconds.

    Args:
        task: a task's id. Where nobody has written down what its picture should tell, the answer
            is every joint's coordinates and speeds by the joint's name.
        physics: dm_control's ``Physics``.
    """
    position, velocity = MEASURES.get(task, _joints)(physics)
    return _plain(position), _plain(velocity)


def _plain(named: Named) -> dict[str, float]:
    return {name: float(np.asarray(value, np.float64).item()) for name, value in named.items()}


def _joints(physics: Any) -> tuple[Named, Named]:
    model, data = physics.model, physics.data
    position: Named = {}
    velocity: Named = {}
    for joint in range(model.njnt):
        name = model.id2name(joint, "joint") or f"joint {joint}"
        for found, values, first in (
            (position, data.qpos, model.jnt_qposadr),
            (velocity, data.qvel, model.jnt_dofadr),
        ):
            end = first[joint + 1] if joint + 1 < model.njnt else len(values)
            numbers = values[first[joint] : end]
            word = name if found is position else f"{name} speed"
            several = {f"{word} {i}": number for i, number in enumerate(numbers)}
            found.update(several if len(numbers) > 1 else {word: numbers[0]})
    return position, velocity


def _reacher(physics: Any) -> tuple[Named, Named]:
    named = physics.named.data
    finger, target = named.geom_xpos["finger"], named.geom_xpos["target"]
    speed = physics.data.object_velocity("finger", "geom")[0]
    position = {
        "fingertip x": finger[0],
        "fingertip y": finger[1],
        "target x": target[0],
        "target y": target[1],
    }
    return position, {"fingertip speed x": speed[0], "fingertip speed y": speed[1]}


def _point_mass(physics: Any) -> tuple[Named, Named]:
    (x, y), (vx, vy) = physics.data.qpos[:2], physics.data.qvel[:2]
    return {"ball x": x, "ball y": y}, {"ball speed x": vx, "ball speed y": vy}


def _cartpole(physics: Any) -> tuple[Named, Named]:
    (x, angle), (speed, turn) = physics.data.qpos[:2], physics.data.qvel[:2]
    position = {"cart x": x, "pole cos": np.cos(angle), "pole sin": np.sin(angle)}
    return position, {"cart speed": speed, "pole speed": turn}


def _walker(physics: Any) -> tuple[Named, Named]:
    angle = physics.named.data.qpos
    position = {"torso height": physics.torso_height(), **_pitch(angle["rooty"])}
    for joint in ("hip", "knee", "ankle"):
        position[f"{joint} sum"] = angle[f"left_{joint}"] + angle[f"right_{joint}"]
    # The speed of the centre of mass: that is what the camera travels with.
    velocity = {
        "speed": physics.horizontal_velocity(),
        "pitch speed": physics.named.data.qvel["rooty"],
    }
    return position, velocity


def _cheetah(physics: Any) -> tuple[Named, Named]:
    angle = physics.named.data.qpos
    joints = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
    position = {"root height": angle["rootz"], **_pitch(angle["rooty"])}
    position |= {joint: angle[joint] for joint in joints}
    velocity = {"speed": physics.speed(), "pitch speed": physics.named.data.qvel["rooty"]}
    return position, velocity


def _hopper(physics: Any) -> tuple[Named, Named]:
    angle = physics.named.data.qpos
    position = {"torso height": physics.named.data.xpos["torso", "z"], **_pitch(angle["rooty"])}
    position |= {joint: angle[joint] for joint in ("waist", "hip", "knee", "ankle")}
    forward, _, upward = physics.named.data.sensordata["torso_subtreelinvel"]
    return position, {"forward speed": forward, "upward speed": upward}


def _finger(physics: Any) -> tuple[Named, Named]:
    angle, speed = physics.named.data.qpos, physics.named.data.qvel
    # The spinner is two equal capsules side by side, and this task hides the mark at its tip:
    # after half a turn the picture is the same. Twice the angle is what can be seen.
    double = 2 * angle["hinge"]
    position = {
        "proximal": angle["proximal"],
        "distal": angle["distal"],
        "spinner cos 2": np.cos(double),
        "spinner sin 2": np.sin(double),
    }
    velocity = {
        "proximal speed": speed["proximal"],
        "distal speed": speed["distal"],
        "spinner speed": speed["hinge"],
    }
    return position, velocity


def _cup(physics: Any) -> tuple[Named, Named]:
    named = physics.named.data
    ball, cup = named.xpos["ball"], named.xpos["cup"]
    position = {"ball x": ball[0], "ball z": ball[2], "cup x": cup[0], "cup z": cup[2]}
    velocity = {"ball speed x": named.qvel["ball_x"], "ball speed z": named.qvel["ball_z"]}
    return position, velocity


def _pitch(angle: Any) -> Named:
    return {"pitch cos": np.cos(angle), "pitch sin": np.sin(angle)}


MEASURES: dict[str, Measure] = {
    "reacher-easy": _reacher,
    "point_mass-easy": _point_mass,
    "cartpole-swingup": _cartpole,
    "walker-walk": _walker,
    "cheetah-run": _cheetah,
    "finger-spin": _finger,
    "hopper-hop": _hopper,
    "cup-catch": _cup,
}
"""Task id → function of dm_control's ``Physics`` that gives named positions and velocities."""
