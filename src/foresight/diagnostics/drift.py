"""How far imagination drifts: predicted against true features at growing horizons.

Open loop, a model goes on from its own predictions, as a planner uses it. Closed loop, it starts
anew from the true features before every step, so the number says how good one step is at that
place of the clip. Both stand beside predicting that nothing changes (persistence; closed loop:
since the step before) and predicting the mean feature.

Raw cosines of frozen features are close to 1 whatever one predicts; the centred ones subtract the
mean feature of other episodes first and tell more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.progress import track as progress
from foresight.evaluation.statistics import Row

HORIZONS = (1, 5, 10, 30)
LOOPS = ("open", "closed")


@dataclass(frozen=True)
class Track:
    """One clip or episode of T steps, as a forecaster and the measurement see it."""

    inputs: Float[Tensor, "T ..."]
    """What the forecaster starts from."""
    features: Float[Tensor, "T N D"]
    """What is compared: N tokens (1 for a feature vector) of D numbers."""
    controls: Float[Tensor, "T A"]
    """Actions, and whatever else the forecaster is told of each step."""
    whole: Float[Tensor, "T N D"] | None = None
    """The true features, where ``features`` is what a bottleneck of the model keeps of them."""

    @property
    def target(self) -> Float[Tensor, "T N D"]:
        """The true features."""
        return self.features if self.whole is None else self.whole


class Forecaster(Protocol):
    """Any model that predicts the next feature under the actions."""

    @property
    def limit(self) -> int | None:
        """Longest horizon that it can imagine; None: any."""
        ...

    def open_loop(
        self, start: Float[Tensor, "B ..."], controls: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B L N D"]:
        """Features of the L steps after ``start``, each imagined from the one before."""
        ...

    def closed_loop(
        self, seen: Float[Tensor, "B L ..."], controls: Float[Tensor, "B L A"]
    ) -> Float[Tensor, "B L N D"]:
        """For each of L true steps the feature of the step after it."""
        ...


@torch.no_grad()
def drift(
    forecaster: Forecaster,
    tracks: Sequence[Track],
    horizons: Sequence[int] = HORIZONS,
    starts: int = 16,
    mean: Float[Tensor, "N D"] | None = None,
    batch: int = 4,
) -> list[Row]:
    """Measure cosine and L1 at each horizon on each track.

    Args:
        forecaster: the model.
        tracks: clips or episodes; one row each for every number.
        horizons: steps ahead; those that no track and no forecaster can fit are left out.
        starts: windows per track, evenly spread; all horizons of a track share them, so they
            must leave room for the longest.
        mean: the feature that centres; None takes the mean over the other tracks, or, for a
            single track, over itself.
        batch: windows that are imagined at once.

    Returns:
        Rows of the measures ``cosine-raw-open``, ``cosine-centred-open``, ``l1-raw-open``,
        ``l1-centred-open`` and the same for ``closed``; the task is ``h<horizon>``, the condition
        none for the model, else ``persistence`` or ``mean``. L1 is the mean absolute difference;
        centring does not change it, so the centred one is in units of the mean absolute distance
        of the true features to the mean (1: no better than the mean feature). A centred cosine of
        the mean feature itself is 0.

    Raises:
        ForesightError: a horizon below 1, no track that fits one, or predictions not finite.
    """
    if not tracks or min(horizons, default=0) < 1 or starts < 1:
        raise ForesightError(
            f"Drift over {len(tracks)} clips at horizons {list(horizons)} from {starts} starts "
            "cannot be measured: give at least one clip, one start, and horizons from 1 on."
        )
    means = [mean] * len(tracks) if mean is not None else other_means(tracks)
    rows: list[Row] = []
    for index, (one, centre) in enumerate(progress(list(zip(tracks, means, strict=True)), "drift")):
        longest = min(len(one.features) - 1, forecaster.limit or len(one.features))
        fitting = [h for h in sorted(set(horizons)) if h <= longest]
        if fitting:
            numbers = _measure(forecaster, one, centre, fitting, starts, batch)
            rows += [{**row, "episode": index} for row in numbers]
    if not rows:
        longest = max(len(one.features) for one in tracks) - 1
        raise ForesightError(
            f"No clip is long enough for the horizons {list(horizons)}: the longest allows "
            f"{min(longest, forecaster.limit or longest)}, ask for shorter ones."
        )
    return rows


def other_means(tracks: Sequence[Track]) -> list[Tensor]:
    """For each track the mean feature ``[N, D]`` over all steps of the others, or its own."""
    sums = [one.features.sum(0, dtype=torch.float64) for one in tracks]
    steps = [len(one.features) for one in tracks]
    if len(tracks) == 1:
        return [(sums[0] / steps[0]).float()]
    total = torch.stack(sums).sum(0)
    return [((total - s) / (sum(steps) - n)).float() for s, n in zip(sums, steps, strict=True)]


def window_starts(steps: int, length: int, starts: int) -> Int64[Tensor, " n"]:
    """Beginnings, evenly spread and at most ``starts``, with ``length`` more steps behind each."""
    room = steps - length
    return torch.linspace(0, room - 1, min(starts, room)).round().long()


def _measure(
    forecaster: Forecaster,
    one: Track,
    mean: Tensor,
    horizons: list[int],
    starts: int,
    batch: int,
) -> list[Row]:
    """Means over the windows of one track."""
    length = horizons[-1]
    begins = window_starts(len(one.features), length, starts)
    count = len(begins)
    picked = torch.tensor(horizons) - 1
    sums: dict[tuple[str, str | None], Tensor] = {}
    scale = torch.zeros(len(horizons))
    for some in begins.split(batch):
        at = some[:, None] + torch.arange(length)
        truth = one.features[at + 1]
        controls = one.controls[at]
        imagined = {
            "open": forecaster.open_loop(one.inputs[some], controls),
            "closed": forecaster.closed_loop(one.inputs[at], controls),
        }
        still = {"open": one.features[some][:, None].expand_as(truth), "closed": one.features[at]}
        away = (truth[:, picked] - mean).abs().mean((-2, -1))
        scale += away.sum(0).cpu()
        for loop in LOOPS:
            guesses = {None: imagined[loop], "persistence": still[loop], "mean": mean}
            for condition, guess in guesses.items():
                seen = guess if guess.ndim == 2 else guess[:, picked]
                for name, value in _scores(seen, truth[:, picked], mean).items():
                    key = (f"{name}-{loop}", condition)
                    sums[key] = sums.get(key, torch.zeros(len(horizons))) + value.sum(0).cpu()
    rows = []
    for (measure, condition), total in sums.items():
        over = scale.clamp(min=1e-12) if measure.startswith("l1-centred") else float(count)
        for horizon, value in zip(horizons, (total / over).tolist(), strict=True):
            row = {"measure": measure, "task": f"h{horizon}", "value": value}
            rows.append(row if condition is None else {**row, "condition": condition})
    return rows


def _scores(guess: Tensor, truth: Tensor, mean: Tensor) -> dict[str, Tensor]:
    """Numbers ``[B, horizons]`` of predictions ``[B, horizons, N, D]``, averaged over tokens."""
    if not guess.isfinite().all():
        raise ForesightError(
            "The model predicted features that are not finite: it is damaged, train or fetch it "
            "again."
        )
    off = (guess - truth).abs().mean((-2, -1))
    raw = functional.cosine_similarity(guess, truth, dim=-1)
    centred = functional.cosine_similarity(guess - mean, truth - mean, dim=-1)
    return {
        "cosine-raw": raw.mean(-1),
        "cosine-centred": centred.mean(-1),
        "l1-raw": off,
        "l1-centred": off,
    }
