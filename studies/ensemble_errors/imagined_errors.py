"""Windows of held-out episodes, imagined by an ensemble, and statistics of them with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import LEVEL, Interval
from foresight.worldmodel.dynamics.build import AnyDynamics
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.dynamics.rollout import members_of, rollout

MOST_WINDOWS = 4096


class Ensemble(Protocol):
    """Anything with members that imagines step by step, such as a jointly learned dynamics."""

    members: int

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """``z [E, ..., Z], a [..., A] -> z' [E, ..., Z]``."""
        ...


@dataclass(frozen=True)
class HeldOut:
    """One held-out episode: T states, T or T - 1 actions and rewards."""

    z: Float[Tensor, "T Z"]
    actions: Float[Tensor, "T A"]
    rewards: Float[Tensor, " T"] | None = None
    """Needed for β only."""


@dataclass(frozen=True)
class Imagined:
    """Windows of one episode, imagined: states ``[E, n, H+1, Z]``, the rest ``[n, ...]``."""

    states: Float[Tensor, "E n H1 Z"]
    truth: Float[Tensor, "n H1 Z"]
    actions: Float[Tensor, "n H A"]
    rewards: Float[Tensor, "n H"] | None


@torch.no_grad()
def imagined_windows(
    dynamics: Ensemble | AnyDynamics, episodes: Sequence[HeldOut], horizon: int, least: int = 1
) -> list[Imagined]:
    """Imagine open loop from evenly spread starts, about `MOST_WINDOWS` in all.

    Args:
        dynamics: at least two members.
        episodes: those not longer than the horizon are left out.
        horizon: steps ahead.
        least: the shortest horizon that will be asked for; refused below 1.

    Raises:
        ForesightError: one member, fewer than two usable episodes, or horizons below 1.
    """
    members = getattr(dynamics, "members", 1)
    if members < 2:
        raise ForesightError(
            f"Disagreement needs at least 2 members and this dynamics has {members}: train an "
            "ensemble with `foresight train --members 5`."
        )
    if least < 1:
        raise ForesightError(f"A horizon of {least} steps cannot be measured: begin at 1.")
    usable = [e for e in episodes if len(e.z) > horizon]
    if len(usable) < 2:
        raise ForesightError(
            f"{len(usable)} held-out episodes are longer than {horizon} steps and at least 2 are "
            "needed: collect more or longer ones, or measure a shorter horizon."
        )
    every = max(1, sum(len(e.z) - horizon for e in usable) // MOST_WINDOWS)
    runs = []
    for one in usable:
        starts = torch.arange(0, len(one.z) - horizon, every)
        rows = starts[:, None] + torch.arange(horizon + 1)
        truth, actions = one.z[rows], one.actions[rows[:, :-1]]
        rewards = one.rewards[rows[:, :-1]] if one.rewards is not None else None
        runs.append(Imagined(_futures(dynamics, truth[:, 0], actions), truth, actions, rewards))
    return runs


def _futures(
    dynamics: Ensemble | AnyDynamics, z: Float[Tensor, "n Z"], actions: Float[Tensor, "n H A"]
) -> Float[Tensor, "E n H1 Z"]:
    if isinstance(dynamics, EnsembleDynamics):  # those with a history imagine whole futures only
        return dynamics(z, actions)
    return rollout(dynamics.step, z.expand(members_of(dynamics), *z.shape), actions)


def over_episodes(
    statistic: Callable[[Tensor, Tensor], float],
    columns: tuple[Tensor, Tensor],
    episode: Tensor,
    seed: int,
    resamples: int,
) -> Interval:
    """A statistic of windows and its bootstrap interval over episodes.

    Windows of one episode are alike, so whole episodes are drawn (the cluster bootstrap: Davison &
    Hinkley 1997, section 3.8).

    Args:
        statistic: of two columns ``[n]``.
        columns: one number for each window, twice.
        episode: the windows' episode, counted from 0.
        seed: of the draws.
        resamples: how many.
    """
    first, second = columns
    count = int(episode.max()) + 1
    rows = [torch.nonzero(episode == index).flatten() for index in range(count)]
    rng = np.random.default_rng(seed)
    known: dict[tuple[int, ...], float] = {}  # few episodes are drawn alike again and again
    draws = []
    for _ in range(resamples):
        drawn = tuple(rng.integers(0, count, count).tolist())
        if drawn not in known:
            chosen = torch.cat([rows[i] for i in drawn])
            known[drawn] = statistic(first[chosen], second[chosen])
        draws.append(known[drawn])
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(statistic(first, second), float(low), float(high), count)
