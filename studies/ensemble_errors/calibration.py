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
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import Interval, Row, Summary, bootstrap_interval
from foresight.training.experience import Experience
from foresight.worldmodel.dynamics.build import AnyDynamics
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.ranks import spearman
from studies.ensemble_errors.imagined_errors import (
    Ensemble,
    HeldOut,
    imagined_windows,
    over_episodes,
)
from studies.whitening import deviation, disagreement, whitening_matrix

__all__ = ["HeldOut", "calibrate", "calibrated_beta", "held_out", "weight_cosine"]

HORIZONS = tuple(range(1, 9))
RESAMPLES = 500


def held_out(model: WorldModel, experience: Experience) -> list[HeldOut]:
    """The episodes of an experience that no training has seen, in a world model's latent space."""
    found = []
    for index in experience.validation:
        rows = slice(int(experience.offsets[index]), int(experience.offsets[index + 1]))
        with torch.no_grad():
            z = model.state.episode(torch.from_numpy(np.array(experience.features[rows])).float())
        rewards = None if experience.rewards is None else experience.rewards[rows]
        found.append(HeldOut(z, model.normalised(experience.actions[rows]), rewards))
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
        path: rank correlation of the disagreement's mean over steps 1 to h, which is what a planner
            penalises, with the error at step h.
        within: mean over episodes of the rank correlation inside each one, where neither the
            episode's behaviour nor its goal can help.
        movement: rank correlation of the error with how far the imagined mean moves away from the
            present, the rival that needs no ensemble.
        persistence: mean error of the prediction that nothing changes.
        diversity: see `weight_cosine`.
    """

    spearman: dict[int, Interval]
    ratio: dict[int, Interval]
    error: dict[int, Interval]
    path: dict[int, Interval] = field(default_factory=dict)
    within: dict[int, Interval] = field(default_factory=dict)
    movement: dict[int, Interval] = field(default_factory=dict)
    persistence: dict[int, Interval] = field(default_factory=dict)
    diversity: dict[str, float] = field(default_factory=dict)

    def rows(self, task: str) -> list[Row]:
        """Measurements ``spearman-h<k>``, ``ratio-h<k>``, ``error-h<k>`` and so on, and
        ``weight-cosine``.
        """
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
        return [
            ("spearman", self.spearman),
            ("spearman-path", self.path),
            ("spearman-within", self.within),
            ("spearman-movement", self.movement),
            ("ratio", self.ratio),
            ("error", self.error),
            ("persistence", self.persistence),
        ]


def calibrate(
    dynamics: Ensemble | AnyDynamics,
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
        dynamics: anything with at least two members that imagines step by step.
        episodes: held out, at least two; those too short for the longest horizon are left out.
        horizons: steps ahead.
        whiten: of the latent space, best from training states (`whitening_matrix`); None takes it
            from these episodes.
        seed: of the bootstrap.

    Raises:
        ForesightError: one member, too few episodes, or horizons below 1.
    """
    whiten = whitening_matrix(torch.cat([e.z for e in episodes])) if whiten is None else whiten
    runs = imagined_windows(dynamics, episodes, max(horizons, default=0), min(horizons, default=0))
    parts = [_compared(run.states, run.truth, whiten) for run in runs]
    doubt, error, moved, still = (torch.cat(column) for column in zip(*parts, strict=True))
    episode = torch.cat([torch.full((len(run.truth),), i) for i, run in enumerate(runs)])

    def each(
        statistic: Callable[[Tensor, Tensor], float], first: Tensor, second: Tensor
    ) -> dict[int, Interval]:
        return {
            h: over_episodes(
                statistic, (first[:, h - 1], second[:, h - 1]), episode, seed, RESAMPLES
            )
            for h in horizons
        }

    def within(h: int) -> Interval:
        found = [spearman(d[:, h - 1], e[:, h - 1]) for d, e, *_ in parts if len(d) > 1]
        return bootstrap_interval(found or [0.0], resamples=RESAMPLES, seed=seed)

    return Calibration(
        spearman=each(spearman, doubt, error),
        ratio=each(_ratio, doubt, error),
        error=each(lambda e, _: float(e.mean()), error, error),
        path=each(spearman, doubt.cumsum(1), error),
        within={h: within(h) for h in horizons},
        movement=each(spearman, moved, error),
        persistence=each(lambda e, _: float(e.mean()), still, error),
        diversity=weight_cosine(dynamics),
    )


def _compared(
    states: Float[Tensor, "E n H1 Z"], truth: Float[Tensor, "n H1 Z"], whiten: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Disagreement, error, imagined movement and persistence's error, each ``[n, H]``."""
    mean, start = states.mean(0), truth[:, :1]
    pairs = [(mean, truth), (mean, start), (start.expand_as(truth), truth)]
    off, moved, still = (deviation(one, two, whiten)[:, 1:] for one, two in pairs)
    return disagreement(states, whiten)[:, 1:], off, moved, still


def _ratio(above: Tensor, below: Tensor) -> float:
    return float(above.mean() / below.mean().clamp(min=1e-12))


def weight_cosine(dynamics: object) -> dict[str, float]:
    """Diversity: mean cosine between the flattened weights of two members.

    ``weight-cosine`` takes all parameters. Gains of layer norms begin at 1 in
    every member and dominate it: ``weight-cosine-matrices`` leaves all vectors out and is near 0
    for members from different seeds, however alike what they predict. Empty for a dynamics that
    holds no `EnsembleDynamics`.
    """
    modules = dynamics.modules() if isinstance(dynamics, nn.Module) else iter(())
    ensemble = next((part for part in modules if isinstance(part, EnsembleDynamics)), None)
    if ensemble is None:
        return {}
    parameters = list(ensemble.network.parameters())
    matrices = [p for p in parameters if p.ndim > 2]
    found = {}
    for name, chosen in (("weight-cosine", parameters), ("weight-cosine-matrices", matrices)):
        flat = torch.cat([p.detach().flatten(1).double() for p in chosen], dim=1)
        unit = functional.normalize(flat, dim=1)
        pairs = itertools.combinations(range(ensemble.members), 2)
        found[name] = float(np.mean([float(unit[i] @ unit[j]) for i, j in pairs]))
    return found


def calibrated_beta(
    dynamics: Ensemble | AnyDynamics,
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
    for index, run in enumerate(imagined_windows(dynamics, episodes, horizon, horizon)):
        with torch.no_grad():
            shown = run.actions.expand(len(run.states), *run.actions.shape)
            guess = reward(run.states[:, :, :-1], shown).sum(-1).mean(0)
        assert run.rewards is not None
        off.append((guess - run.rewards.sum(-1)).abs())
        apart = disagreement(run.states, whiten)[:, 1:]
        doubt.append(apart.sum(-1) if over == "sum" else apart.mean(-1))
        owner.append(torch.full((len(guess),), index))
    error, penalty, episode = torch.cat(off), torch.cat(doubt), torch.cat(owner)
    return worth_of_doubt(error, penalty, episode, seed)


def worth_of_doubt(
    error: Float[Tensor, " n"], penalty: Float[Tensor, " n"], episode: Tensor, seed: int = 0
) -> Interval:
    """``E[error] / E[penalty]``: the weight at which a penalty equals the error it warns of.

    Args:
        error: of each window, in reward.
        penalty: of each window at weight 1.
        episode: index of the episode of each window.
        seed: of the bootstrap over episodes.

    Raises:
        ForesightError: the penalty is 0 everywhere.
    """
    if float(penalty.mean()) <= 1e-9:
        raise ForesightError(
            "The members of this ensemble never differ, so no penalty on their disagreement means "
            "anything: train them from different seeds on different data."
        )
    return over_episodes(_ratio, (error, penalty), episode, seed, RESAMPLES)


def _row(measure: str, task: str, value: float) -> dict[str, Any]:
    return {"measure": measure, "task": task, "value": value}
