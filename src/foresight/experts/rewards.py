"""Rewards of the eight source tasks for whole batches of simulated states at once.

The oracle plans in thousands of simulated steps for each decision; asking dm_control's
``get_reward`` one state at a time would cost more than the physics. The functions here give the
same numbers for arrays of any leading shape. What dm_control reads from ``xpos`` and ``xmat`` is
computed from joint positions: all eight bodies are planar, so their kinematics are short sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.envs.dmc.tasks import canonical

Array = np.ndarray
BatchedReward = Callable[[Array, Array, Array], Array]

# Constants of the dm_control suite (dm_control/suite/{walker,cheetah,finger,hopper}.py, 1.0.30).
_WALKER_STAND_HEIGHT = 1.2
_WALKER_SPEED = 1.0
_CHEETAH_SPEED = 10.0
_FINGER_SPIN_VELOCITY = 15.0
_HOPPER_STAND_HEIGHT = 0.6
_HOPPER_MAX_HEIGHT = 2.0
_HOPPER_SPEED = 2.0

_GAUSSIAN_SCALE = -np.log(0.1)  # a Gaussian tolerance falls to .1 at the margin


def batched_reward(task: str, model: Any) -> BatchedReward:
    """Return the vectorised reward of ``task`` on ``model``.

    Args:
        task: One of the eight source tasks, such as ``"walker-walk"``.
        model: The task's own ``mujoco.MjModel``. Whatever an episode randomises in the model (the
            reacher's target, for one) is read here, so build the reward after the reset.

    Returns:
        ``reward(states, sensordata, ctrl) -> rewards`` with states float64 ``[..., nq+nv+na]``,
        sensordata float64 ``[..., ns]`` (the sensors *at* those states; only walker, cheetah and
        hopper look at them), ctrl float64 ``[..., nu]`` (the control that led to the state) and
        rewards float64 ``[...]``, each in [0, 1].

    Raises:
        ForesightError: If the task has no vectorised reward.

    Source: dm_control suite 1.0.30, ``get_reward`` of each task (Tassa et al., 1801.00690).
    """
    factory = _FACTORIES.get(canonical(task))
    if factory is None:
        raise ForesightError(
            f"Task {task!r} has no batched reward: expected one of {', '.join(rewarded_tasks())}."
        )
    return factory(model)


def rewarded_tasks() -> list[str]:
    """Return the tasks that ``batched_reward`` knows, sorted."""
    return sorted(_FACTORIES)


# ------------------------------------------------------------------ tolerances of dm_control


def gaussian(distance: Array, margin: float) -> Array:
    """Return 1 at distance 0 (or below), falling as a Gaussian to .1 at ``margin``."""
    return np.exp(-_GAUSSIAN_SCALE * np.square(np.maximum(distance, 0.0) / margin))


def linear_above(value: Array, bound: float, margin: float, at_margin: float) -> Array:
    """Return 1 above ``bound``, falling linearly to ``at_margin`` at ``bound - margin``, then on.

    dm_control cuts the line at zero where it would leave the unit interval.
    """
    fall = np.maximum(bound - value, 0.0) / margin * (1.0 - at_margin)
    return np.where(fall < 1.0, 1.0 - fall, 0.0)


def _quadratic_control(ctrl: Array) -> Array:
    """Return 1 - u² for each control within the unit interval and 0 outside."""
    return np.where(np.abs(ctrl) < 1.0, 1.0 - np.square(ctrl), 0.0)


# ------------------------------------------------------------------------ kinematics


def fingertip(model: Any, states: Array) -> Array:
    """Return the reacher's fingertip ``[..., 2]`` in metres from states ``[..., 4]``."""
    upper = float(model.body("hand").pos[0])
    lower = float(model.body("finger").pos[0])
    shoulder, elbow = states[..., 0], states[..., 0] + states[..., 1]
    return np.stack(
        [
            upper * np.cos(shoulder) + lower * np.cos(elbow),
            upper * np.sin(shoulder) + lower * np.sin(elbow),
        ],
        axis=-1,
    )


def ball_to_cup(model: Any, states: Array) -> Array:
    """Return target minus ball ``[..., 2]`` (x, z in metres) from ball-in-cup states."""
    cup, ball = model.body("cup").pos, model.body("ball").pos
    site = model.site("target").pos
    rest = (cup + site - ball)[[0, 2]]
    return rest + states[..., 0:2] - states[..., 2:4]


class HopperHeight:
    """The hopper's height: the torso's centre of mass above the foot's, in metres."""

    _CHAIN = ("torso", "pelvis", "thigh", "calf", "foot")

    def __init__(self, model: Any) -> None:
        bodies = [model.body(name) for name in self._CHAIN]
        # An offset (x, z) fixed in a body that is turned by `a` about +y has the world height
        # z cos a - x sin a. Each body is turned by the sum of all angles above it.
        self._links = [body.pos[[0, 2]].copy() for body in bodies[1:]]
        self._torso = bodies[0].ipos[[0, 2]].copy()
        self._foot = bodies[-1].ipos[[0, 2]].copy()

    def __call__(self, states: Array) -> Array:
        """Return heights ``[...]`` for states ``[..., 14]``."""
        angle = states[..., 2]
        height = _turned_height(self._torso, angle)
        for joint, link in enumerate(self._links, start=3):
            height = height - _turned_height(link, angle)
            angle = angle + states[..., joint]
        return height - _turned_height(self._foot, angle)


def _turned_height(offset: Array, angle: Array) -> Array:
    return offset[1] * np.cos(angle) - offset[0] * np.sin(angle)


def speed_sensor(model: Any) -> int:
    """Return where the horizontal speed of the centre of mass stands in the sensor data."""
    return int(model.sensor("torso_subtreelinvel").adr[0])


# ------------------------------------------------------------------------ the eight rewards


def _reacher(model: Any) -> BatchedReward:
    target = model.geom("target").pos[:2].copy()
    radii = float(model.geom("target").size[0] + model.geom("finger").size[0])

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        distance = np.linalg.norm(fingertip(model, states) - target, axis=-1)
        return (distance <= radii).astype(np.float64)

    return reward


def _point_mass(model: Any) -> BatchedReward:
    geom = model.geom("target")
    size = float(geom.size[0])
    start = model.body("pointmass").pos + model.geom("pointmass").pos
    offset = (start - geom.pos).copy()

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        x, y = offset[0] + states[..., 0], offset[1] + states[..., 1]
        distance = np.sqrt(np.square(x) + np.square(y) + offset[2] ** 2)
        near = gaussian(distance - size, margin=size)
        return near * (_quadratic_control(ctrl).mean(-1) + 4.0) / 5.0

    return reward


def _cartpole(model: Any) -> BatchedReward:
    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        upright = (np.cos(states[..., 1]) + 1.0) / 2.0
        centred = (1.0 + gaussian(np.abs(states[..., 0]), margin=2.0)) / 2.0
        small_control = (4.0 + _quadratic_control(ctrl[..., 0])) / 5.0
        small_velocity = (1.0 + gaussian(np.abs(states[..., 3]), margin=5.0)) / 2.0
        return upright * small_control * small_velocity * centred

    return reward


def walker_stands(model: Any) -> Callable[[Array], Array]:
    """Return how well the walker stands, in [0, 1], as a function of states ``[..., 18]``."""
    base = float(model.body("torso").pos[2])

    def stands(states: Array) -> Array:
        below = _WALKER_STAND_HEIGHT - (base + states[..., 0])
        standing = gaussian(below, margin=_WALKER_STAND_HEIGHT / 2)
        upright = (1.0 + np.cos(states[..., 2])) / 2.0
        return (3.0 * standing + upright) / 4.0

    return stands


def _walker(model: Any) -> BatchedReward:
    stands, speed = walker_stands(model), speed_sensor(model)

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        move = linear_above(sensordata[..., speed], _WALKER_SPEED, _WALKER_SPEED / 2, 0.5)
        return stands(states) * (5.0 * move + 1.0) / 6.0

    return reward


def _cheetah(model: Any) -> BatchedReward:
    speed = speed_sensor(model)

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        return linear_above(sensordata[..., speed], _CHEETAH_SPEED, _CHEETAH_SPEED, 0.0)

    return reward


def _finger(model: Any) -> BatchedReward:
    hinge = model.nq + int(model.joint("hinge").dofadr[0])

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        return (states[..., hinge] <= -_FINGER_SPIN_VELOCITY).astype(np.float64)

    return reward


def _hopper(model: Any) -> BatchedReward:
    height_of = HopperHeight(model)
    speed = speed_sensor(model)

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        height = height_of(states)
        standing = (height >= _HOPPER_STAND_HEIGHT) & (height <= _HOPPER_MAX_HEIGHT)
        return standing * linear_above(
            sensordata[..., speed], _HOPPER_SPEED, _HOPPER_SPEED / 2, 0.5
        )

    return reward


def _cup(model: Any) -> BatchedReward:
    room = model.site("target").size[[0, 2]] - model.geom("ball").size[0]

    def reward(states: Array, sensordata: Array, ctrl: Array) -> Array:
        inside = np.abs(ball_to_cup(model, states)) < room
        return inside.all(-1).astype(np.float64)

    return reward


_FACTORIES: dict[str, Callable[[Any], BatchedReward]] = {
    "reacher-easy": _reacher,
    "point_mass-easy": _point_mass,
    "cartpole-swingup": _cartpole,
    "walker-walk": _walker,
    "cheetah-run": _cheetah,
    "finger-spin": _finger,
    "hopper-hop": _hopper,
    "cup-catch": _cup,
}
