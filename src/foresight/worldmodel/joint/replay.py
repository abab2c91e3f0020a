"""Episodes of equal length in memory: place numbers, actions, rewards."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.errors import ForesightError


class Replay:
    """Every decision seen so far; windows never cross an episode's end.

    Args:
        episodes: how many fit.
        decisions: T of each episode.
        features: F numbers of a picture, kept in half precision.
        actions: A.
    """

    def __init__(self, episodes: int, decisions: int, features: int, actions: int) -> None:
        self.features = torch.zeros(episodes, decisions + 1, features, dtype=torch.float16)
        self.actions = torch.zeros(episodes, decisions, actions)
        self.rewards = torch.zeros(episodes, decisions)
        self.count = 0

    def __len__(self) -> int:
        """Episodes held."""
        return self.count

    @property
    def decisions(self) -> int:
        """Decisions of one episode."""
        return self.actions.shape[1]

    @property
    def returns(self) -> Float[Tensor, "n"]:
        """Return of every episode."""
        return self.rewards[: self.count].sum(1)

    def add(
        self,
        features: Float[Tensor, "n T+1 F"],
        actions: Float[Tensor, "n T A"],
        rewards: Float[Tensor, "n T"],
    ) -> None:
        """Append whole episodes.

        Raises:
            ForesightError: there is no room left, or numbers are not finite.
        """
        end = self.count + len(actions)
        if end > len(self.actions):
            raise ForesightError(
                f"The replay has room for {len(self.actions)} episodes and got {end}: make it "
                "larger."
            )
        if not (
            features.isfinite().all() and actions.isfinite().all() and rewards.isfinite().all()
        ):
            raise ForesightError(
                "An episode holds numbers that are not finite: check the encoder's weights."
            )
        rows = slice(self.count, end)
        self.features[rows] = features.half()
        self.actions[rows] = actions
        self.rewards[rows] = rewards
        self.count = end

    def sample(
        self, shape: tuple[int, ...], horizon: int, random: np.random.Generator
    ) -> tuple[
        Float[Tensor, "*shape H+1 F"], Float[Tensor, "*shape H A"], Float[Tensor, "*shape H"]
    ]:
        """Random windows of ``horizon`` decisions."""
        episode = torch.from_numpy(random.integers(0, self.count, shape))[..., None]
        start = torch.from_numpy(random.integers(0, self.decisions - horizon + 1, shape))
        steps = start[..., None] + torch.arange(horizon + 1)
        taken = steps[..., :-1]
        return (
            self.features[episode, steps],
            self.actions[episode, taken],
            self.rewards[episode, taken],
        )
