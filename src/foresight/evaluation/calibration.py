"""Does an ensemble know where it errs? Disagreement beside true error, and the β that makes it pay.

All numbers come from held-out episodes and, unless said, from the whitened latent space, where 1
is what the data themselves spread.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.errors import ForesightError
from foresight.evaluation.statistics import LEVEL, Interval, Row, Summary
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.experience import Experience
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.ranks import spearman
from foresight.worldmodel.whitening import deviation, disagreement, whitening_matrix

HORIZONS = tuple(range(1, 9))
RESAMPLES = 500
MOST_WINDOWS = 4096


@dataclass(frozen=True)
class HeldOut:
    """One held-out episode of T steps."""

    z: Float[Tensor, "T Z"]
    actions: Float[Tensor, "T A"]
    rewards: Float[Tensor, "T"] | None = None
    """Needed for β only."""


def held_out(model: WorldModel, experience: Experience) -> list[HeldOut]:
    """The episodes of an experience that no training has seen, in a world model's latent space."""
    found = []
    for index in experience.validation:
        rows = slice(int(experience.offsets[index]), int(experience.offsets[index + 1]))
        with torch.no_grad():
            z = model.latent.episode(torch.from_numpy(np.array(experience.features[rows])).float())
        found.append(HeldOut(z, experience.actions[rows], experience.rewards[rows]))
    return found


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` found.

    Attributes:
        spearman: rank correlation of disagreement and error at each horizon, with the bootstrap
            interval over episodes; n counts episodes.
        ratio: mean disagreement over mean error at each horizon; a well-sized ensemble has about 1,
            a smaller one is overconfident.
        error: mean error at each horizon.
        diversity: see `weight_cosine`.
    """

    spearman: dict[int, Interval]
    ratio: dict[int, Interval]
    error: dict[int, Interval]
    diversity: dict[str, float] = field(default_factory=dict)

    def rows(self, task: str) -> list[Row]:
        """Measurements ``spearman-h<k>``, ``ratio-h<k>``, ``error-h<k>`` and ``weight-cosine``."""
        found = [
            _row(f"{name}-h{horizon}", task, interval.mean)
            for name, intervals in self._tables()
            for horizon, interval in intervals.items()
        ]
        return found + [_row(name, task, value) for name, value in self.diversity.items()]

    def summary(self, task: str) -> Summary:
        """Entries with intervals, such as ``spearman-h3/<task>``, for `make_result`."""
        return {
            f"{name}-h{horizon}/{task}": interval.as_dict()
            for name, intervals in self._tables()
            for horizon, interval in intervals.items()
        }

    def _tables(self) -> list[tuple[str, dict[int, Interval]]]:
        return [("spearman", self.spearman), ("ratio", self.ratio), ("error", self.error)]


def calibrate(
    dynamics: EnsembleDynamics,
    episodes: Sequence[HeldOut],
    horizons: Sequence[int] = HORIZONS,
    whiten: Float[Tensor, "Z Z"] | None = None,
    seed: int = 0,
) -> Calibration:
    """Compare disagreement with the error of the mean prediction, window by window.

    From every start (at most some 4,096, evenly spread) all members imagine open loop under the
    recorded actions. At horizon h, `disagreement` of their states stands beside the `deviation` of
    their mean from the true state.

    Args:
        dynamics: at least two members.
        episodes: held out, at least two; those too short for the longest horizon are left out.
        horizons: steps ahead.
        whiten: of the latent space, best from training states (`whitening_matrix`); None takes it
            from these episodes.
        seed: of the bootstrap.

    Raises:
        ForesightError: one member, too few episodes, or horizons below 1.
    """
    whiten = whitening_matrix(torch.cat([e.z for e in episodes])) if whiten is None else whiten
    runs = _imagined(dynamics, episodes, max(horizons, default=0), min(horizons, default=0))
    apart, off, owner = [], [], []
    for index, run in enumerate(runs):
        apart.append(disagreement(run.states, whiten)[:, 1:])
        off.append(deviation(run.states.mean(0), run.truth, whiten)[:, 1:])
        owner.append(torch.full((len(run.truth),), index))
    doubt, error, episode = torch.cat(apart), torch.cat(off), torch.cat(owner)

    def each(statistic: Callable[[Tensor, Tensor], float]) -> dict[int, Interval]:
        return {
            h: _over_episodes(statistic, (doubt[:, h - 1], error[:, h - 1]), episode, seed)
            for h in horizons
        }

    return Calibration(
        spearman=each(spearman),
        ratio=each(lambda d, e: float(d.mean() / e.mean().clamp(min=1e-12))),
        error=each(lambda d, e: float(e.mean())),
        diversity=weight_cosine(dynamics),
    )


def weight_cosine(dynamics: EnsembleDynamics) -> dict[str, float]:
    """The sources' diversity: mean cosine between the flattened weights of two members.

    ``weight-cosine`` takes all parameters, as the sources do. Gains of layer norms begin at 1 in
    every member and dominate it: ``weight-cosine-matrices`` leaves all vectors out and is near 0
    for members from different seeds, however alike what they predict.
    """
    parameters = list(dynamics.network.parameters())
    matrices = [p for p in parameters if p.ndim > 2]
    found = {}
    for name, chosen in (("weight-cosine", parameters), ("weight-cosine-matrices", matrices)):
        flat = torch.cat([p.detach().flatten(1).double() for p in chosen], dim=1)
        unit = functional.normalize(flat, dim=1)
        pairs = itertools.combinations(range(dynamics.members), 2)
        found[name] = float(np.mean([float(unit[i] @ unit[j]) for i, j in pairs]))
    return found


def calibrated_beta(
    dynamics: EnsembleDynamics,
    reward: Callable[[Tensor, Tensor], Tensor],
    episodes: Sequence[HeldOut],
    horizon: int = 8,
    whiten: Float[Tensor, "Z Z"] | None = None,
    over: Literal["sum", "mean"] = "sum",
    seed: int = 0,
) -> Interval:
    """The weight β for which the penalty equals, on average, the error it warns of, in reward.

    A planner maximises ``R̂ - β D`` with ``R̂ = Σ_{t<H} mean_e r̂(ẑ_{e,t}, a_t)``, the imagined
    return, and ``D = Σ_{t=1..H} d_t`` (or its mean over t), the disagreement of its imagined
    states. On held-out windows, where the actions' true return ``R = Σ_{t<H} r_t`` is known,

    ``β = E|R̂ - R| / E[D]``

    makes the expected penalty equal to the expected error of the imagined return. It is in reward
    per unit of whitened disagreement and holds for this horizon and way of adding up. With it the
    penalised return is a typical lower value of what will be got; 2 β is a cautious one.

    Args:
        dynamics: at least two members.
        reward: ``(z [..., Z], a [..., A]) -> r [...]``.
        episodes: held out, at least two, with rewards.
        horizon: H, the planner's.
        whiten: the planner's; None takes it from these episodes.
        over: how the planner adds disagreement up over the horizon.
        seed: of the bootstrap over episodes.

    Returns:
        β with its interval.

    Raises:
        ForesightError: one member, rewards missing, too few episodes, or members that never differ.
    """
    if any(e.rewards is None for e in episodes):
        raise ForesightError("β is set in units of reward and an episode has none: give rewards.")
    if over not in ("sum", "mean"):
        raise ForesightError(f"Disagreement cannot be added up by {over!r}: choose sum or mean.")
    whiten = whitening_matrix(torch.cat([e.z for e in episodes])) if whiten is None else whiten
    off, doubt, owner = [], [], []
    for index, run in enumerate(_imagined(dynamics, episodes, horizon, horizon)):
        with torch.no_grad():
            shown = run.actions.expand(len(run.states), *run.actions.shape)
            guess = reward(run.states[:, :, :-1], shown).sum(-1).mean(0)
        assert run.rewards is not None
        off.append((guess - run.rewards.sum(-1)).abs())
        apart = disagreement(run.states, whiten)[:, 1:]
        doubt.append(apart.sum(-1) if over == "sum" else apart.mean(-1))
        owner.append(torch.full((len(guess),), index))
    error, penalty, episode = torch.cat(off), torch.cat(doubt), torch.cat(owner)
    if float(penalty.mean()) <= 1e-9:
        raise ForesightError(
            "The members of this ensemble never differ, so no penalty on their disagreement means "
            "anything: train them from different seeds on different data."
        )
    return _over_episodes(
        lambda e, d: float(e.mean() / d.mean().clamp(min=1e-12)), (error, penalty), episode, seed
    )


@dataclass(frozen=True)
class _Run:
    """Windows of one episode, imagined: states ``[E, n, H+1, Z]``, the rest ``[n, ...]``."""

    states: Tensor
    truth: Tensor
    actions: Tensor
    rewards: Tensor | None


@torch.no_grad()
def _imagined(
    dynamics: EnsembleDynamics, episodes: Sequence[HeldOut], horizon: int, least: int
) -> list[_Run]:
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
        runs.append(_Run(dynamics(truth[:, 0], actions), truth, actions, rewards))
    return runs


def _over_episodes(
    statistic: Callable[[Tensor, Tensor], float],
    columns: tuple[Tensor, Tensor],
    episode: Tensor,
    seed: int,
) -> Interval:
    """A statistic of windows and its bootstrap interval over episodes.

    Windows of one episode are alike, so whole episodes are drawn (the cluster bootstrap: Davison &
    Hinkley 1997, section 3.8).
    """
    first, second = columns
    count = int(episode.max()) + 1
    rows = [torch.nonzero(episode == index).flatten() for index in range(count)]
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(RESAMPLES):
        chosen = torch.cat([rows[i] for i in rng.integers(0, count, count)])
        draws.append(statistic(first[chosen], second[chosen]))
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(statistic(first, second), float(low), float(high), count)


def _row(measure: str, task: str, value: float) -> dict[str, Any]:
    return {"measure": measure, "task": task, "value": value}
