"""Where in a demonstration one is, and which of its states to aim at next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.policies.taught.demonstration import Shown
from foresight.policies.taught.heads import TaughtHeads

STILL = 0.25
"""A decision moves if it goes at least this share of the demonstration's 95 % largest step."""


@dataclass(frozen=True)
class ProgressConfig:
    """How the present is aligned with the demonstration. All counts are decisions."""

    window: int = 6
    """States ahead that are looked at, so the most that can be skipped at once."""
    look_ahead: int = 4
    """How far ahead of the present the sub-goal lies."""
    near: float = 2.0
    """Distance that still counts as being there, in typical steps of the demonstration."""
    pace: float = 0.1
    """Cost of being anywhere but one state further, at the window's end, where a distance at the
    limit of being there costs 1."""
    patience: int = 4
    """Decisions without progress after which it moves on by one each time."""

    def __post_init__(self) -> None:
        if self.window < 1 or self.look_ahead < 1 or self.near <= 0 or self.patience < 1:
            raise ForesightError(
                f"A window of {self.window}, a look-ahead of {self.look_ahead}, a patience of "
                f"{self.patience} and a nearness of {self.near} are refused: choose at least 1, "
                "and a nearness above 0."
            )


class Progress:
    """Aligns the present with a demonstration, monotonically and state by state.

    Each new state is matched with the demonstration's states from the last match up to ``window``
    further; the best one, ``argmin_j (d_j / threshold)² + pace ((j - i - 1) / window)²``, is taken
    if it is near: within the threshold, or within ``look_ahead`` decisions by the learned distance
    in time. This is online dynamic time warping (Dixon 2005) that never goes back. The threshold
    is ``near`` times the root mean square of those steps of the demonstration that move.

    Args:
        shown: the demonstration.
        heads: space and distance in time.
        config: window, look-ahead, threshold.
    """

    def __init__(self, shown: Shown, heads: TaughtHeads, config: ProgressConfig) -> None:
        self.shown, self.heads, self.config = shown, heads, config
        self.places = heads.space(shown.z)
        self.threshold = config.near * typical_step(self.places)
        self.reset()

    def reset(self) -> None:
        """Back to the demonstration's first state."""
        self.index, self.waited, self.lost = 0, 0, False

    @property
    def last(self) -> int:
        """Index of the demonstration's last state."""
        return len(self.places) - 1

    @property
    def done(self) -> float:
        """Share of the demonstration that lies behind."""
        return self.index / self.last

    def update(self, z: Float[Tensor, " Z"]) -> int:
        """Take in the present state and return the index of the state it is aligned with."""
        config = self.config
        ahead = torch.arange(self.index, min(self.index + config.window, self.last) + 1)
        distance = self.heads.space.distance(z, self.places[ahead])
        off = (ahead - self.index - 1) / config.window
        best = int(((distance / self.threshold).square() + config.pace * off.square()).argmin())
        near = float(distance[best]) <= self.threshold or self._close(z, int(ahead[best]))
        self.lost = not near
        moved = near and best > 0
        self.waited = 0 if moved else self.waited + 1
        if moved:
            self.index += best
        elif self.waited > config.patience:
            self.index = min(self.index + 1, self.last)
        return self.index

    def _close(self, z: Float[Tensor, " Z"], index: int) -> bool:
        decisions = self.heads.decisions(z, self.shown.z[index])
        return float(decisions) <= min(self.config.look_ahead, self.config.near)

    @property
    def goal(self) -> int:
        """Index of the sub-goal; the demonstration's last state from its end on."""
        return min(self.index + self.config.look_ahead, self.last)

    def goals(self, horizon: int) -> Int64[Tensor, " H"]:
        """Which state to be in after 1 … H decisions.

        Along the demonstration where one is on it; where one is lost, its sub-goal at once.
        """
        if self.lost:
            return torch.full((horizon,), self.goal)
        return (self.index + 1 + torch.arange(horizon)).clamp(max=self.last)


def typical_step(places: Float[Tensor, "N K"]) -> float:
    """Root mean square distance of neighbouring states, over those steps that move.

    Raises:
        ForesightError: nothing ever moves.
    """
    steps = places.diff(dim=0).square().mean(-1).sqrt()
    largest = float(torch.quantile(steps, 0.95))
    if not largest > 0:
        raise ForesightError(
            "Nothing moves in this demonstration: give one that shows how the task is done."
        )
    return float(steps[steps >= STILL * largest].square().mean().sqrt())
