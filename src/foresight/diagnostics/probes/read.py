"""All probes on one set of features; the best by validation, measured on the test episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.data import ProbeData, Split
from foresight.diagnostics.probes.fit import FitSettings, Goals, fit_network
from foresight.diagnostics.probes.linear import logistic, ridge
from foresight.diagnostics.probes.networks import AttentiveProbe, MlpProbe, PatchProbe
from foresight.diagnostics.probes.scores import (
    accuracy,
    accuracy_interval,
    r_squared,
    r_squared_interval,
)
from foresight.evaluation.statistics import Interval

Predictions = Float[np.ndarray, "n q"]
FINE_NUMBERS = 160_000_000
"""Linear probes read whole tokens up to so many numbers in all, else only coarser readouts: they
would take minutes, and seldom win."""
GRID = 4


@dataclass(frozen=True)
class Reading:
    """What one set of features tells about one measure.

    Attributes:
        measure: for example ``position-r2``.
        probe: the one that was best on the validation windows over all targets.
        interval: mean over the targets on the test episodes, with the bootstrap interval; each
            target is read by the probe that was best for it on the validation windows.
        targets: name → the same for a single target.
        others: probe → (validation score, test score), all of them.
    """

    measure: str
    probe: str
    interval: Interval
    targets: dict[str, Interval]
    others: dict[str, tuple[float, float]]


def read_features(
    features: Float[Tensor, " n *f"],
    data: ProbeData,
    split: Split,
    settings: FitSettings,
    label: str = "",
) -> list[Reading]:
    """Fit every probe and report the best one for each measure.

    Args:
        features: tokens ``[N, T, h, w, D]`` or vectors ``[N, F]``, any float dtype, finite.
        data: the labels.
        split: which windows are for what.
        settings: of the network probes.
        label: shown beside progress bars.

    Raises:
        ForesightError: a target that does not vary, or features that are not finite.
    """
    for rows in features.split(256):
        if not torch.isfinite(rows.sum(dtype=torch.float32)):
            raise ForesightError(
                f"The features of {label or data.name} are not finite: check the encoder's weights "
                "or use dtype float32."
            )
    found = list(_predictions(features, data, split, settings, label))
    return [_reading(measure, found, data, split) for measure in data.measures]


def _predictions(
    features: Tensor, data: ProbeData, split: Split, settings: FitSettings, label: str
) -> Iterator[tuple[str, Predictions]]:
    """Each probe's name and what it says of all windows."""
    goals = Goals(data, split)
    if features.ndim == 2:
        yield "linear", _linear(features, data, split)
        shape: int = features.shape[1]
        yield (
            "mlp",
            fit_network(lambda n: MlpProbe(shape, n), features, goals, split, settings, label),
        )
        return
    for name, readout in _readouts(features):
        yield f"linear on {name}", _linear(readout, data, split)
    grid = (features.shape[2], features.shape[3])
    patches = columns_of(features, split)
    count, dim = patches.shape[1:]
    yield (
        "mlp on patches",
        fit_network(lambda n: PatchProbe(count, dim, n), patches, goals, split, settings, label),
    )
    yield (
        "attentive",
        fit_network(lambda n: AttentiveProbe(grid, dim, n), patches, goals, split, settings, label),
    )


def _readouts(tokens: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Vectors made of tokens, from the coarsest to the finest, one at a time."""
    count, _, height, width, _ = tokens.shape
    yield "mean", tokens.mean(dim=(2, 3), dtype=torch.float32).flatten(1)
    if min(height, width) > GRID:
        parts = [
            torch.nn.functional.adaptive_avg_pool2d(
                rows.flatten(0, 1).permute(0, 3, 1, 2).float(), GRID
            ).reshape(len(rows), -1)
            for rows in tokens.split(256)
        ]
        yield "grid", torch.cat(parts)
    if tokens.numel() <= FINE_NUMBERS:
        yield "tokens", tokens.reshape(count, -1)


def columns_of(tokens: Tensor, split: Split) -> Float[Tensor, "n p c"]:
    """What stands at each patch: the present token beside its differences to the earlier ones.

    Motion is a difference at one patch; side by side, a probe sees it without having to bring two
    tokens together first. Both parts are centred at each patch and have spread 1 over all patches.

    Args:
        tokens: ``[N, T, h, w, D]``.
        split: statistics are those of the training windows.

    Returns:
        float16 ``[N, h w, T D]``.
    """
    count, time, height, width, dim = tokens.shape
    out = torch.empty(count, height * width, time * dim, dtype=torch.float16)
    for back in range(time):

        def part(rows: Tensor, back: int = back) -> Tensor:
            now = tokens[rows, -1].float()
            return (now - tokens[rows, -1 - back].float() if back else now).flatten(1, 2)

        mean, spread = _statistics(part, torch.from_numpy(split.train))
        for rows in torch.arange(count).split(256):
            out[rows, :, back * dim : (back + 1) * dim] = ((part(rows) - mean) / spread).half()
    return out


def _statistics(part: Callable[[Tensor], Tensor], train: Tensor) -> tuple[Tensor, float]:
    """Mean at each patch ``[P, D]``, and the one root mean square about it."""
    sums, squares = torch.zeros(()), torch.zeros(())
    for rows in train.split(256):
        values = part(rows).double()
        sums = sums + values.sum(dim=0)
        squares = squares + values.square().sum(dim=0)
    mean = sums / len(train)
    variance = float((squares / len(train) - mean.square()).mean().clamp_min(0.0))
    return mean.float(), max(variance**0.5, 1e-12)


def _linear(features: Tensor, data: ProbeData, split: Split) -> Predictions:
    """Ridge for numbers, logistic regression for classes."""
    train, validation = torch.from_numpy(split.train), torch.from_numpy(split.validation)
    labels = torch.from_numpy(data.labels)
    found = np.empty_like(data.labels)
    numbers = [i for i, target in enumerate(data.targets) if not target.classes]
    if numbers:
        found[:, numbers] = ridge(features, labels[:, numbers], train, validation).numpy()
    for i, target in enumerate(data.targets):
        if target.classes:
            wanted = labels[:, i].long()
            predicted = logistic(features, wanted, target.classes, train, validation)
            found[:, i] = predicted.numpy()
    return found


def _reading(
    measure: str, found: list[tuple[str, Predictions]], data: ProbeData, split: Split
) -> Reading:
    columns = data.columns(measure)
    scores = {
        name: (
            _score(data, columns, predicted, split.validation),
            _score(data, columns, predicted, split.test),
        )
        for name, predicted in found
    }
    best = max(scores, key=lambda name: scores[name][0])
    predicted = np.empty_like(data.labels)
    for i in columns:
        scored = [(_score(data, [i], one, split.validation), one) for _, one in found]
        predicted[:, i] = max(scored, key=lambda entry: entry[0])[1][:, i]
    targets = {data.targets[i].name: _interval(data, [i], predicted, split.test) for i in columns}
    return Reading(measure, best, _interval(data, columns, predicted, split.test), targets, scores)


def _score(data: ProbeData, columns: list[int], predicted: Predictions, rows: np.ndarray) -> float:
    """Mean score over some targets in some windows."""
    kinds = (accuracy if data.targets[i].classes else r_squared for i in columns)
    return float(
        np.mean(
            [
                score(data.labels[rows, i], predicted[rows, i])
                for i, score in zip(columns, kinds, strict=True)
            ]
        )
    )


def _interval(
    data: ProbeData, columns: list[int], predicted: Predictions, rows: np.ndarray
) -> Interval:
    episodes = data.episodes[rows]
    if data.targets[columns[0]].classes:
        column = columns[0]
        return accuracy_interval(data.labels[rows, column], predicted[rows, column], episodes)
    return r_squared_interval(data.labels[rows][:, columns], predicted[rows][:, columns], episodes)
