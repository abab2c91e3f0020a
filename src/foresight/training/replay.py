"""Episodes of equal length in memory: place numbers, actions, rewards, what a teacher would do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from foresight.core.errors import ForesightError

CHUNK = 32
"""Episodes whose states are read at a time."""


@dataclass(frozen=True)
class Windows:
    """H decisions each, from anywhere in an episode."""

    features: Float[Tensor, "*shape F"]
    """Place numbers of the first picture; F is 0 where nobody wants to see."""
    states: Float[Tensor, "*shape H+1 Z"]
    """Latent states, as the adapter gave them at the last refresh."""
    actions: Float[Tensor, "*shape H A"]
    rewards: Float[Tensor, "*shape H"]
    senses: Float[Tensor, "*shape S"]
    """Proprioception at the first picture."""
    taught: Float[Tensor, "*shape H A"]
    """What the teacher would have done; NaN where nobody asked."""

    def to(self, device: torch.device) -> Windows:
        """The same windows elsewhere."""
        return Windows(*(getattr(self, field.name).to(device) for field in fields(self)))


class Replay:
    """Every decision seen so far; windows never cross an episode's end.

    Args:
        episodes: how many fit.
        decisions: T of each episode.
        features: F numbers of a picture and its past, kept in bfloat16, in which they are read.
        actions: A.
        senses: S.
        latent: Z.
    """

    def __init__(
        self,
        episodes: int,
        decisions: int,
        features: int,
        actions: int,
        senses: int = 0,
        latent: int = 0,
    ) -> None:
        self.features = torch.zeros(episodes, decisions + 1, features, dtype=torch.bfloat16)
        self.actions = torch.zeros(episodes, decisions, actions)
        self.taught = torch.full((episodes, decisions, actions), torch.nan)
        self.rewards = torch.zeros(episodes, decisions)
        self.senses = torch.zeros(episodes, decisions + 1, senses)
        self.states = torch.zeros(episodes, decisions + 1, latent)
        self.count = 0

    def __len__(self) -> int:
        """Episodes held."""
        return self.count

    @property
    def decisions(self) -> int:
        """Decisions of one episode."""
        return self.actions.shape[1]

    @property
    def returns(self) -> Float[Tensor, " n"]:
        """Return of every episode."""
        return self.rewards[: self.count].sum(1)

    def add(
        self,
        features: Float[Tensor, "n T+1 F"],
        actions: Float[Tensor, "n T A"],
        rewards: Float[Tensor, "n T"],
        senses: Float[Tensor, "n T+1 S"] | None = None,
        taught: Float[Tensor, "n T A"] | None = None,
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
        self.features[rows] = features
        self.actions[rows] = actions
        self.rewards[rows] = rewards
        if senses is not None and self.senses.shape[-1]:
            self.senses[rows] = senses
        if taught is not None:
            self.taught[rows] = taught
        self.count = end

    @torch.no_grad()
    def refresh(self, encode: Callable[[Tensor], Tensor], since: int = 0) -> None:
        """Read the states anew off the pictures of all episodes from number ``since`` on."""
        for first in range(since, self.count, CHUNK):
            rows = slice(first, min(first + CHUNK, self.count))
            self.states[rows] = encode(self.features[rows]).to(self.states)

    def sample(
        self,
        shape: tuple[int, ...],
        horizon: int,
        random: np.random.Generator,
        share: float = 0.0,
        see: bool = False,
        own: Bool[np.ndarray, "E episodes"] | None = None,
    ) -> Windows:
        """Random windows of ``horizon`` decisions.

        Args:
            shape: of the batch.
            horizon: H.
            random: the only source of chance.
            share: of the windows that come from episodes with a teacher's answers, at least; the
                others come from all episodes.
            see: with the place numbers of the first picture.
            own: the episodes that each entry of the first axis of ``shape`` draws from; all if it
                has none among those seen so far.
        """
        if own is None:
            episode = self._draw(np.arange(self.count), shape, random, share)
        else:
            pools = [np.flatnonzero(row[: self.count]) for row in own]
            pools = [pool if len(pool) else np.arange(self.count) for pool in pools]
            episode = np.stack([self._draw(pool, shape[1:], random, share) for pool in pools])
        row = torch.from_numpy(episode)
        start = torch.from_numpy(random.integers(0, self.decisions - horizon + 1, shape))
        steps = start[..., None] + torch.arange(horizon + 1)
        rows, taken = row[..., None], steps[..., :-1]
        return Windows(
            self.features[row, start] if see else self.features.new_zeros(*shape, 0),
            self.states[rows, steps],
            self.actions[rows, taken],
            self.rewards[rows, taken],
            self.senses[row, start],
            self.taught[rows, taken],
        )

    def _draw(
        self,
        pool: Int[np.ndarray, " n"],
        shape: tuple[int, ...],
        random: np.random.Generator,
        share: float,
    ) -> Int[np.ndarray, "*shape"]:
        """Episodes of a pool, at least a share of them with a teacher's answers, if it has any."""
        episode = pool[random.integers(0, len(pool), shape)]
        known = pool[self.taught[: self.count, 0, 0].isfinite().numpy()[pool]]
        if not share or not len(known):
            return episode
        swap = random.random(shape) < share
        return np.where(swap, known[random.integers(0, len(known), shape)], episode)
