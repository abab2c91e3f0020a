"""Other rewards for tasks of dm_control, as functions of simulated states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.registry import EnvConfig
from foresight.experts.rewards import (
    BatchedReward,
    fingertip,
    gaussian,
    linear_above,
    speed_sensor,
    walker_stands,
)

RUN_SPEED, BACK_SPEED, TROT_SPEED = 8.0, 1.0, 2.0
"""Metres a second: dm_control's walker-run; walker-walk's, the other way; of a slow cheetah."""
CHEETAH_BACK = 5.0
SPIN = 15.0
"""Radians a second: dm_control's finger-spin."""
SMALL_TARGET = 0.015
"""Radius in metres, dm_control's reacher-hard."""


@dataclass(frozen=True)
class NewReward:
    """A reward for the physics of a task that has another one."""

    source: str
    """The task whose model, physics and starts these are."""
    name: str
    """What is to be done instead."""
    make: Callable[[Any], BatchedReward]
    """From the MuJoCo model, after an episode's reset, to the reward of states."""

    @property
    def key(self) -> str:
        """``walker-walk-to-stand``."""
        return f"{self.source}-to-{self.name}"

    def again(self, decisions: int, repeat: int) -> EnvConfig:
        """Where episodes are simulated again, without pictures; ``info["own_reward"]`` is what they
        earned before.

        Args:
            decisions: of the longest of them.
            repeat: environment steps for which a decision is held.
        """
        from studies.new_reward.environments import paid_config  # which looks rewards up here

        protocol = "seed200" if decisions * repeat <= get_protocol("seed200").steps else "dmc1000"
        held = repeat // get_protocol(protocol).repeat
        return paid_config(self, protocol=protocol, cameras=(), action_repeat=held)


def _walker(move: Callable[[np.ndarray], np.ndarray] | None) -> Callable[[Any], BatchedReward]:
    """Upright, and moving in some way; None stands."""

    def make(model: Any) -> BatchedReward:
        stands, speed = walker_stands(model), speed_sensor(model)

        def reward(states: np.ndarray, sensors: np.ndarray, control: np.ndarray) -> np.ndarray:
            upright = stands(states)
            if move is None:
                return upright
            return upright * (5.0 * move(sensors[..., speed]) + 1.0) / 6.0

        return reward

    return make


def _cheetah(score: Callable[[np.ndarray], np.ndarray]) -> Callable[[Any], BatchedReward]:
    def make(model: Any) -> BatchedReward:
        speed = speed_sensor(model)
        return lambda states, sensors, control: score(sensors[..., speed])

    return make


def _finger_other_way(model: Any) -> BatchedReward:
    hinge = model.nq + int(model.joint("hinge").dofadr[0])
    return lambda states, sensors, control: (states[..., hinge] >= SPIN).astype(np.float64)


def _finger_up(model: Any) -> BatchedReward:
    """The spinner's tip, which hangs at angle 0, is held up."""
    hinge = int(model.joint("hinge").qposadr[0])
    return lambda states, sensors, control: gaussian(1.0 + np.cos(states[..., hinge]), margin=1.0)


def _reacher_small(model: Any) -> BatchedReward:
    target = model.geom("target").pos[:2].copy()
    radii = SMALL_TARGET + float(model.geom("finger").size[0])

    def reward(states: np.ndarray, sensors: np.ndarray, control: np.ndarray) -> np.ndarray:
        distance = np.linalg.norm(fingertip(model, states) - target, axis=-1)
        return (distance <= radii).astype(np.float64)

    return reward


REWARDS = (
    NewReward("walker-walk", "stand", _walker(None)),
    NewReward(
        "walker-walk", "run", _walker(lambda v: linear_above(v, RUN_SPEED, RUN_SPEED / 2, 0.5))
    ),
    NewReward(
        "walker-walk",
        "backwards",
        _walker(lambda v: linear_above(-v, BACK_SPEED, BACK_SPEED / 2, 0.5)),
    ),
    NewReward(
        "cheetah-run",
        "backwards",
        _cheetah(lambda v: linear_above(-v, CHEETAH_BACK, CHEETAH_BACK, 0.0)),
    ),
    NewReward(
        "cheetah-run", "trot", _cheetah(lambda v: gaussian(np.abs(v - TROT_SPEED), margin=1.0))
    ),
    NewReward("finger-spin", "other-way", _finger_other_way),
    NewReward("finger-spin", "hold-up", _finger_up),
    NewReward("reacher-easy", "small-target", _reacher_small),
)
KEYS = {reward.key: reward for reward in REWARDS}


def new_reward(key: str) -> NewReward:
    """The reward of a name such as ``walker-walk-to-stand``.

    Raises:
        ForesightError: there is none.
    """
    if key not in KEYS:
        raise ForesightError(f"There is no reward {key!r}: choose from {', '.join(KEYS)}.")
    return KEYS[key]
