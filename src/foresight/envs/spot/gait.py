"""A trot for Spot: feet on planned paths, joint angles by inverse kinematics, targets that lead.

Diagonal pairs of feet take turns. A foot on the ground moves against the commanded velocity of the
body above it; in the air it returns on a smooth arc. Nothing is measured: the gait is a function of
its phase and of the command, which it follows at a bounded acceleration.

The actuators are soft: a joint follows its target late, by (kv + damping) / kp seconds. So a target
is the wanted angle plus that time times the wanted angular velocity, which cancels the lag.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float64

from foresight.envs.spot.model import CONTROL_STEP, DAMPING, KP, KV

HIP_X, HIP_Y, HIP_WIDTH = 0.29785, 0.055, 0.1108
"""Metres from the body's middle to a hip, and from the hip outwards to its leg."""
THIGH_X, THIGH_Z, SHANK = 0.025, 0.32, 0.3365
"""Metres from the upper joint of a leg to its knee, and from there to the foot."""
THIGH = float(np.hypot(THIGH_X, THIGH_Z))
KNEE_OFFSET = float(np.arctan2(THIGH_X, THIGH_Z))
"""By how much the line from the upper joint to the knee leans forward, in radians."""
HIPS = np.array([[x, y, 0.0] for x in (HIP_X, -HIP_X) for y in (HIP_Y, -HIP_Y)])
SIDES = np.array([1.0, -1.0, 1.0, -1.0])
PAIRS = np.array([0.0, 0.5, 0.5, 0.0])
"""When in the cycle each foot begins to push: front left with hind right, and the others."""


@dataclass(frozen=True)
class GaitConfig:
    """How Spot trots; found by measuring stride-mean velocities (see docs/spot.md)."""

    stride: float = 0.48
    """Seconds of a whole cycle of the feet."""
    stance: float = 0.686
    """Share of it for which a foot is on the ground."""
    lift: float = 0.107
    """Metres by which a foot is raised."""
    height: float = 0.504
    """Metres from the ground to the body's middle, as planned: its weight lowers it by a tenth."""
    offset: float = -0.093
    """Metres by which feet stand further forward than their hips."""
    spread: float = 0.008
    """Metres by which they stand further out."""
    lead: float = (KV + DAMPING) / KP
    """Seconds by which targets are ahead of the wanted angles."""
    gain: tuple[float, float, float] = (1.2, 1.07, 1.19)
    """Feet move so many times as fast as the command says, forwards, sideways and in turning."""
    drift: float = 0.066
    """Metres a second that steps on the spot lose backwards, and that are added."""
    slew: float = 1.0
    """Largest change of the followed command a second (m/s and rad/s); 0: no bound."""


class Trot:
    """The gait with its memory: phase and followed command.

    Args:
        config: its shape.
    """

    def __init__(self, config: GaitConfig | None = None) -> None:
        self.config = config or GaitConfig()
        self.memory: Float64[np.ndarray, "4"] = np.zeros(4)

    def reset(self) -> None:
        """Begin a cycle, standing."""
        self.memory = np.zeros(4)

    def step(self, command: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "12"]:
        """Joint targets in radians for the next control step.

        Args:
            command: metres a second forwards and to the left, radians a second to the left.
        """
        phase, followed = float(self.memory[0]), self.memory[1:]
        most = self.config.slew * CONTROL_STEP or np.inf
        followed = followed + np.clip(command - followed, -most, most)
        phase = (phase + CONTROL_STEP / self.config.stride) % 1.0
        self.memory = np.concatenate([[phase], followed])
        return joint_targets(self.config, phase, followed)


def joint_targets(
    config: GaitConfig, phase: float, command: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "12"]:
    """Wanted angles, and the lead's share of how fast they change."""
    short = CONTROL_STEP / 2
    moments = np.array([phase, phase + short / config.stride])
    now, soon = leg_angles(feet(config, moments, command))
    return (now + config.lead * (soon - now) / short).ravel()


def feet(
    config: GaitConfig, phase: Float64[np.ndarray, " N"], command: Float64[np.ndarray, "3"]
) -> Float64[np.ndarray, "N 4 3"]:
    """Where feet are to be, in metres from the body's middle.

    Args:
        config: the gait's shape.
        phase: moments in the cycle, in strides.
        command: velocity of the body.
    """
    stand = _stand(config)
    step = min(1.0, float(np.abs(command).sum()) / STANDING)
    forward, left, turn = np.asarray(command) * config.gain
    forward += config.drift * step
    velocity = -np.stack([forward - turn * stand[:, 1], left + turn * stand[:, 0]], 1)
    cycle = (phase[:, None] + PAIRS) % 1.0
    on_ground = cycle < config.stance
    pushed = cycle / config.stance - 0.5
    swing = np.clip((cycle - config.stance) / (1 - config.stance), 0.0, 1.0)
    # In the air: begins and ends with the ground's velocity, so that a foot does not drag.
    ratio = (1 - config.stance) / config.stance
    back = _returning(swing, ratio)
    along = np.where(on_ground, pushed, back)
    reach = config.stance * config.stride
    height = np.where(on_ground, 0.0, config.lift * step * np.sin(np.pi * swing) ** 2)
    places = np.empty((len(phase), 4, 3))
    places[..., :2] = stand[:, :2] + along[..., None] * velocity * reach
    places[..., 2] = FOOT - config.height + height
    return places


@cache
def _stand(config: GaitConfig) -> Float64[np.ndarray, "4 3"]:
    """Where feet are in the middle of their push, at the hips' height."""
    out = SIDES * (HIP_WIDTH + config.spread)
    return HIPS + np.stack([np.full(4, config.offset), out, np.zeros(4)], 1)


def leg_angles(places: Float64[np.ndarray, "N 4 3"]) -> Float64[np.ndarray, "N 4 3"]:
    """Hip sideways, hip forwards and knee that put feet at places (metres from the body's middle).

    A place out of reach is approached as far as the leg goes.
    """
    apart = places - HIPS
    x, y, z = apart[..., 0], apart[..., 1], apart[..., 2]
    width = SIDES * HIP_WIDTH
    down = -np.sqrt(np.maximum(y**2 + z**2 - HIP_WIDTH**2, 1e-6))
    sideways = np.arctan2(z, y) - np.arctan2(down, width)
    distance = (x**2 + down**2 - THIGH**2 - SHANK**2) / (2 * THIGH * SHANK)
    bend = np.arccos(np.clip(distance, -1.0, 1.0))
    knee = -KNEE_OFFSET - bend
    leg_x = THIGH_X - SHANK * np.sin(knee)
    leg_z = -THIGH_Z - SHANK * np.cos(knee)
    forwards = np.arctan2(-x, -down) - np.arctan2(-leg_x, -leg_z)
    # atan2 of a leg to the right jumps by a turn.
    sideways = (sideways + np.pi) % (2 * np.pi) - np.pi
    return np.stack([sideways, forwards, knee], -1)


def foot_places(angles: Float64[np.ndarray, "N 4 3"]) -> Float64[np.ndarray, "N 4 3"]:
    """What `leg_angles` inverts: where feet are, in metres from the body's middle."""
    sideways, forwards, knee = np.moveaxis(angles, -1, 0)
    leg_x = THIGH_X - SHANK * np.sin(knee)
    leg_z = -THIGH_Z - SHANK * np.cos(knee)
    x = np.cos(forwards) * leg_x + np.sin(forwards) * leg_z
    down = -np.sin(forwards) * leg_x + np.cos(forwards) * leg_z
    width = SIDES * HIP_WIDTH
    y = np.cos(sideways) * width - np.sin(sideways) * down
    z = np.sin(sideways) * width + np.cos(sideways) * down
    return HIPS + np.stack([x, y, z], -1)


def _returning(swing: Float64[np.ndarray, "N 4"], ratio: float) -> Float64[np.ndarray, "N 4"]:
    """From 1/2 back to -1/2 over a swing (a cubic Hermite curve), at both ends as fast as a foot
    on the ground moves: by ``ratio`` in the time of a swing.
    """
    s = swing
    rest = 2 * s**3 - 3 * s**2 + 0.5
    return rest + ratio * ((s**3 - 2 * s**2 + s) + (s**3 - s**2))


STANDING = 0.1
"""A command whose sizes add up to less is followed with smaller steps; at zero Spot stands."""
FOOT = 0.036
"""Metres from the middle of a foot to its sole."""
