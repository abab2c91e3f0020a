"""Is a model better than what needs none? Predictions beside trivial and linear ones, in one unit.

A cosine of frozen features is high whatever one predicts. So features are centred by the mean of
training episodes, place by place, and the share of persistence's error that is removed is told:

    skill = 1 - (1 - cos_model) / (1 - cos_persistence)

0 is what predicting no change gets, 1 is perfect, below 0 is worse than doing nothing. Beside the
model stand the mean feature, a linear model with and without the actions (`linear`), the model
under the actions of other episodes and under none, and what a bottleneck keeps of the truth: the
model's, where it has one, and the linear model's axes. Intervals resample held-out episodes, always
pairs of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.progress import track as progress
from foresight.diagnostics.actions import OtherActions, Recorded
from foresight.diagnostics.drift import HORIZONS, Forecaster, Track, window_starts
from foresight.diagnostics.linear import LinearModel
from foresight.evaluation.statistics import (
    Interval,
    Row,
    Summary,
    bootstrap_interval,
    paired_difference,
    ratio_interval,
)

MODEL, PERSISTENCE, MEAN = "model", "persistence", "mean"
LINEAR, LINEAR_BLIND = "linear", "linear-no-actions"
SHUFFLED, NONE, CEILING = "shuffled-actions", "no-actions", "ceiling"
AXES = "linear-axes"
"""What the linear model's principal axes keep of the truth."""
RAW, CENTRED, L1 = "cos-raw", "cos-centred", "l1"
MEASURES = (RAW, CENTRED, L1)
SKILL = "cos-skill"
STILL = 1e-6
"""Error of persistence below which nothing has moved, and no share of it can be removed."""
KILL = 5
"""Steps ahead at which a model has to be above the linear one."""


@dataclass(frozen=True)
class JudgePlan:
    """How much is asked."""

    horizons: Sequence[int] = HORIZONS
    """Steps ahead; those that do not fit are left out."""
    starts: int = 8
    """Beginnings per episode, evenly spread."""
    first: int = 0
    """Steps before the first beginning: past that the model sees."""
    batch: int = 8
    """Beginnings that are imagined at once."""


@dataclass
class Judgement:
    """Means over the beginnings of each held-out episode."""

    horizons: list[int]
    step_seconds: float
    values: dict[tuple[str, str], Float[Tensor, "E h"]] = field(default_factory=dict)
    """(measure, condition) to a number for each episode and horizon; NaN where it is too short."""

    @property
    def conditions(self) -> list[str]:
        """What stands side by side."""
        return list(dict.fromkeys(condition for _, condition in self.values))

    def seconds(self, horizon: int) -> float:
        """A horizon in seconds."""
        return horizon * self.step_seconds

    def column(self, measure: str, condition: str, horizon: int) -> list[float]:
        """The numbers of the episodes that are long enough."""
        found = self.values[measure, condition][:, self.horizons.index(horizon)]
        return [float(value) for value in found if not value.isnan()]

    def mean(self, measure: str, condition: str, horizon: int) -> Interval:
        """Mean over episodes."""
        return bootstrap_interval(self.column(measure, condition, horizon))

    def skill(self, condition: str, horizon: int) -> Interval | None:
        """The share of persistence's error that is removed, on centred features.

        Both errors are means over episodes, resampled in pairs. None where nothing has moved.
        """
        off = [1 - value for value in self.column(CENTRED, condition, horizon)]
        still = [1 - value for value in self.column(CENTRED, PERSISTENCE, horizon)]
        if sum(still) <= STILL * len(still):
            return None
        found = ratio_interval(off, still)
        return Interval(1 - found.mean, 1 - found.high, 1 - found.low, found.n)

    def difference(self, ours: str, theirs: str, horizon: int, measure: str = CENTRED) -> Interval:
        """How much higher one condition's centred cosine, or another measure, is, paired by
        episode.
        """
        return paired_difference(
            self.column(measure, ours, horizon), self.column(measure, theirs, horizon)
        )

    def above_linear(self, horizon: int = KILL) -> Interval | None:
        """Model minus linear model; None where one of the two was not judged so far ahead."""
        judged = horizon in self.horizons and (CENTRED, LINEAR) in self.values
        return self.difference(MODEL, LINEAR, horizon) if judged else None

    def verdict(self, name: str = "The model", horizon: int = KILL) -> str:
        """One sentence: whether it is worth having a model at all."""
        found = self.above_linear(horizon)
        if found is None:
            return (
                f"{name} was not compared with a linear model {horizon} steps ahead: give a "
                "dataset with training episodes that are longer."
            )
        if found.n < 2:
            return f"{name} was judged on one episode alone, which says nothing: hold out more."
        told = f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
        when = f"{horizon} steps ({self.seconds(horizon):.2g} s) ahead"
        if found.low > 0:
            return f"{name} is above ridge regression {when}: centred cosine {told}."
        return (
            f"KILL: {name} is not above ridge regression {when}: centred cosine {told}. A linear "
            "model does as well: simplify the task, or train on more before building on it."
        )

    def summary(self) -> Summary:
        """What follows from the rows; see `rows`.

        ``cos-skill/h5`` of the model and ``linear:cos-skill/h5`` of what stands beside it; and
        ``minus-linear/h5``, the model's centred cosine less that of another condition, in pairs.
        """
        found: Summary = {}
        for condition in self.conditions:
            for h in self.horizons:
                skill = self.skill(condition, h)
                before = "" if condition == MODEL else f"{condition}:"
                if skill is not None:
                    found[f"{before}{SKILL}/h{h}"] = skill.as_dict()
                if condition in (LINEAR, SHUFFLED, NONE):
                    less = self.difference(MODEL, condition, h).as_dict()
                    found[f"minus-{condition}/h{h}"] = less
        return found

    def rows(self) -> list[Row]:
        """One row for each measure, condition, episode and horizon; the model has no condition."""
        return [
            {
                "measure": measure,
                "task": f"h{horizon}",
                "episode": episode,
                "value": float(value),
                **({} if condition == MODEL else {"condition": condition}),
            }
            for (measure, condition), values in self.values.items()
            for episode, line in enumerate(values)
            for horizon, value in zip(self.horizons, line, strict=True)
            if not value.isnan()
        ]


@torch.no_grad()
def judge(
    forecaster: Forecaster,
    tracks: Sequence[Track],
    episodes: Sequence[int],
    recorded: Sequence[Recorded],
    mean: Float[Tensor, "N D"] | Sequence[Float[Tensor, "N D"]],
    linear: LinearModel | None = None,
    step_seconds: float = 1.0,
    plan: JudgePlan | None = None,
) -> Judgement:
    """Measure a model and everything that stands beside it on the same beginnings.

    Args:
        forecaster: the model.
        tracks: held-out episodes.
        episodes: their places in ``recorded``.
        recorded: the actions of all episodes there are; other actions come from other episodes.
        mean: of the training episodes' features, which centres; or one for each track.
        linear: fitted on training episodes; only its horizons are judged.
        step_seconds: between two steps.
        plan: how much is asked.

    Raises:
        ForesightError: no episode is long enough, or predictions that are not finite.
    """
    plan = plan or JudgePlan()
    horizons = sorted(set(plan.horizons))
    if linear is not None:  # side by side or not at all
        horizons = [h for h in horizons if h in linear.keep]
    found = Judgement(horizons, step_seconds)
    lines: list[dict[tuple[str, str], Tensor]] = []
    means = [mean] * len(tracks) if isinstance(mean, Tensor) else list(mean)
    for place, episode in enumerate(progress(episodes, "judge")):
        one = tracks[place]
        longest = min(len(one.features) - plan.first - 1, forecaster.limit or len(one.features))
        fitting = [h for h in horizons if 1 <= h <= longest]
        if fitting:
            others = OtherActions(recorded, episode, fitting[-1], 1)
            lines.append(
                _episode(forecaster, one, others, means[place], linear, horizons, fitting, plan)
            )
    if not lines:
        raise ForesightError(
            f"No episode is long enough for the horizons {horizons} after {plan.first} steps: ask "
            "for shorter ones."
        )
    found.values = {key: torch.stack([line[key] for line in lines]) for key in lines[0]}
    used = ~found.values[CENTRED, MODEL].isnan().all(0)
    found.horizons = [h for h, good in zip(horizons, used.tolist(), strict=True) if good]
    found.values = {key: value[:, used] for key, value in found.values.items()}
    return found


def _episode(
    forecaster: Forecaster,
    one: Track,
    others: OtherActions,
    mean: Tensor,
    linear: LinearModel | None,
    horizons: list[int],
    fitting: list[int],
    plan: JudgePlan,
) -> dict[tuple[str, str], Tensor]:
    """Means over the beginnings of one episode, NaN at horizons that do not fit."""
    length = fitting[-1]
    begins = window_starts(len(one.features) - plan.first, length, plan.starts) + plan.first
    sums: dict[tuple[str, str], Tensor] = {}
    for some in begins.split(plan.batch):
        guesses = _guesses(forecaster, one, some, others, length, linear, fitting)
        guesses[MEAN] = mean.expand(len(some), len(fitting), *mean.shape)
        truth = one.target[some[:, None] + torch.tensor(fitting)]
        for condition, guess in guesses.items():
            for measure, value in scores(guess.to(truth), truth, mean.to(truth)).items():
                key = (measure, condition)
                sums[key] = sums.get(key, torch.zeros(len(fitting))) + value.sum(0).cpu()
    places = [horizons.index(h) for h in fitting]
    found = {}
    for key, total in sums.items():
        line = torch.full((len(horizons),), torch.nan)
        line[places] = total / len(begins)
        found[key] = line
    return found


def _guesses(
    forecaster: Forecaster,
    one: Track,
    some: Tensor,
    others: OtherActions,
    length: int,
    linear: LinearModel | None,
    fitting: list[int],
) -> dict[str, Float[Tensor, "B h N D"]]:
    """What the model and its rivals say of the features at the horizons."""
    picked = torch.tensor(fitting) - 1
    at = some[:, None] + torch.arange(length)
    controls, width = one.controls[at], others.all.shape[1]
    swapped, without = controls.clone(), controls.clone()
    swapped[..., :width] = torch.cat([others.windows()[:1] for _ in some]).to(controls)
    without[..., :width] = 0.0
    start = one.inputs[some]
    guesses = {
        MODEL: forecaster.open_loop(start, controls)[:, picked],
        SHUFFLED: forecaster.open_loop(start, swapped)[:, picked],
        NONE: forecaster.open_loop(start, without)[:, picked],
        PERSISTENCE: one.target[some][:, None].expand(-1, len(fitting), -1, -1),
    }
    if one.whole is not None:
        guesses[CEILING] = one.features[some[:, None] + torch.tensor(fitting)]
    if linear is not None:
        guesses[AXES] = linear.ceiling(one.target[some[:, None] + torch.tensor(fitting)].cpu())
        told = controls[..., :width]
        guesses[LINEAR] = torch.stack([linear.predict(one, some, h, told) for h in fitting], 1)
        guesses[LINEAR_BLIND] = torch.stack(
            [linear.predict(one, some, h, None) for h in fitting], 1
        )
    return guesses


def scores(
    guess: Float[Tensor, "*batch N D"], truth: Float[Tensor, "*batch N D"], mean: Tensor
) -> Mapping[str, Float[Tensor, "*batch"]]:
    """Raw and centred cosine and mean absolute difference, each averaged over tokens.

    Raises:
        ForesightError: predictions that are not finite.
    """
    if not guess.isfinite().all():
        raise ForesightError(
            "The model predicted features that are not finite: it is damaged, train or fetch it "
            "again."
        )
    centred = functional.cosine_similarity(guess - mean, truth - mean, dim=-1)
    return {
        RAW: functional.cosine_similarity(guess, truth, dim=-1).mean(-1),
        CENTRED: centred.mean(-1),
        L1: (guess - truth).abs().mean((-2, -1)),
    }
