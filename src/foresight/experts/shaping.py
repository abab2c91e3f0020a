"""Extra terms for the oracle's search where a task's own reward is flat.

A search that looks a second ahead finds nothing to climb while the ball hangs below the cup, the
finger is still or the hopper lies on the floor. These terms show the way there. They steer the
search only: returns are always the task's own rewards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from foresight.experts.rewards import HopperHeight, ball_to_cup

Array = np.ndarray
Shaping = Callable[[Array, Array], Array]
"""``shaping(states [..., nq+nv+na], sensordata [..., ns]) -> bonus [...]`` for each step."""


def spinning(model: Any) -> Shaping:
    """Reward hinge speed below finger-spin's threshold: up to .1 at 15 rad/s."""
    hinge = model.nq + int(model.joint("hinge").dofadr[0])
    return lambda states, sensordata: 0.1 * np.clip(-states[..., hinge] / 15.0, -1.0, 1.0)


def near_cup(model: Any) -> Shaping:
    """Reward the ball for being near the cup's target: -.1 for each metre."""
    return lambda states, sensordata: -0.1 * np.linalg.norm(ball_to_cup(model, states), axis=-1)


def upright_hopping(model: Any) -> Shaping:
    """Reward the hopper for a stretched leg, an upright torso and forward speed: up to .3."""
    height_of = HopperHeight(model)
    speed = int(model.sensor("torso_subtreelinvel").adr[0])

    def bonus(states: Array, sensordata: Array) -> Array:
        missing = np.maximum(0.7 - height_of(states), 0.0)
        upright = (1.0 + np.cos(states[..., 2])) / 2.0
        standing = np.exp(-np.square(missing / 0.5)) * upright
        return 0.3 * standing * (0.5 + 0.5 * np.clip(sensordata[..., speed] / 2.0, 0.0, 1.0))

    return bonus
