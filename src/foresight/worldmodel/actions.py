"""Actions in [-1, 1], as models see them, and in the units of the environment."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec


class Bounds(Protocol):
    """Anything that says what -1 and 1 stand for."""

    @property
    def action_low(self) -> tuple[float, ...]:
        """What -1 stands for."""

    @property
    def action_high(self) -> tuple[float, ...]:
        """What 1 stands for."""


def scaled(action: Float[Tensor, "*batch A"], bounds: Bounds) -> Float[Tensor, "*batch A"]:
    """Actions in [-1, 1] in the environment's units."""
    centre, half = _centre_and_half(action, bounds)
    return centre + half * action


def normalised(action: Float[Tensor, "*batch A"], bounds: Bounds) -> Float[Tensor, "*batch A"]:
    """Actions of the environment in [-1, 1]; an axis that cannot move gives 0."""
    centre, half = _centre_and_half(action, bounds)
    return (action - centre) / torch.where(half > 0, half, torch.inf)


def action_bounds(
    spec: Spec, actions: Float[np.ndarray, "N A"] | None = None
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What -1 and 1 stand for: the robot's bounds, and where it has none the range of the data.

    Args:
        spec: of the robot.
        actions: recorded ones, for axes without bounds.

    Raises:
        ForesightError: an axis without bounds and nothing recorded.
    """
    low, high = spec.low.astype(np.float64), spec.high.astype(np.float64)
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    if unbounded.any():
        if actions is None or not len(actions):
            name = spec.action[int(np.flatnonzero(unbounded)[0])].name
            raise ForesightError(
                f"The action {name!r} has no bounds: give them in the spec, or train on recorded "
                "actions."
            )
        low = np.where(unbounded, np.asarray(actions, np.float64).min(0), low)
        high = np.where(unbounded, np.asarray(actions, np.float64).max(0), high)
    return tuple(map(float, low)), tuple(map(float, high))


def _centre_and_half(like: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    low, high = (
        torch.tensor(bound, dtype=torch.float32, device=like.device)
        for bound in (bounds.action_low, bounds.action_high)
    )
    return (low + high) / 2, (high - low) / 2
