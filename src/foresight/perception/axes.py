"""Means, deviations and principal axes of features that do not fit into memory.

Everything takes ``rows``, a function that starts a new pass over the data in chunks ``[n, F]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from foresight.core.errors import ForesightError

Rows = Callable[[], Iterable[Float[Tensor, "n F"]]]

FIT_ROWS = 20_000
# Up to this width the whole covariance is made and decomposed exactly.
EXACT_WIDTH = 1024
OVERSAMPLING = 16
PASSES = 5


@dataclass(frozen=True)
class Axes:
    """Leading principal axes.

    Attributes:
        directions: orthonormal columns ``[F, k]``, largest variance first.
        variances: of the data along each of them, ``[k]``.
        total: variance of the data over all directions.
    """

    directions: Float[Tensor, "F k"]
    variances: Float[Tensor, " k"]
    total: float

    @property
    def kept(self) -> float:
        """Share of the variance that lies along the axes."""
        return float(self.variances.sum()) / self.total if self.total > 0 else 1.0


def chosen_steps(
    offsets: np.ndarray, episodes: Sequence[int], seed: int, limit: int = FIT_ROWS
) -> Iterator[tuple[int, Int[np.ndarray, " n"]]]:
    """For each episode the steps to learn statistics from, ascending; about ``limit`` in all."""
    rng = np.random.default_rng(seed)
    share = max(1, limit // max(1, len(episodes)))
    for index in episodes:
        length = int(offsets[index + 1] - offsets[index])
        yield index, np.sort(rng.permutation(length)[:share])


def mean_and_deviation(rows: Rows) -> tuple[Float[Tensor, " F"], Float[Tensor, " F"], int]:
    """Mean and standard deviation (of the sample) of every column, and the number of rows."""
    count, total = 0, torch.zeros(())
    for chunk in rows():
        count += len(chunk)
        total = total + chunk.double().sum(0)
    if count == 0:
        raise ForesightError("Statistics of no steps were asked for: choose at least one episode.")
    mean = total / count
    square = torch.zeros_like(mean)
    for chunk in rows():  # a second pass: the sum of squares alone would cancel
        square += (chunk.double() - mean).square().sum(0)
    return mean.float(), (square / max(1, count - 1)).sqrt().float(), count


def standard_scale(deviation: Float[Tensor, " F"]) -> Float[Tensor, " F"]:
    """One over the deviation; a column that never moves is not blown up to its rounding noise."""
    return 1 / deviation.clamp(min=1e-3 * float(deviation.mean()) + 1e-8)


def principal_axes(rows: Rows, mean: Float[Tensor, " F"], dim: int, seed: int = 0) -> Axes:
    """The ``dim`` leading principal axes of the rows around ``mean``.

    Narrow data is decomposed exactly. Wide data goes through block power iteration from random
    directions with a Rayleigh-Ritz step at the end (Halko, Martinsson & Tropp 2011, algorithm 4.4
    on the covariance), which holds ``F x (dim + 16)`` numbers and never the data.

    Raises:
        ForesightError: fewer rows than axes, or more axes than columns.
    """
    width = len(mean)
    count, total = 0, 0.0
    for chunk in rows():
        count += len(chunk)
        total += float((chunk - mean).square().sum(dtype=torch.float64))
    if dim > width or dim < 1:
        raise ForesightError(
            f"{dim} principal axes of {width} features cannot be: choose a dim from 1 to {width}."
        )
    if count < dim:
        raise ForesightError(
            f"{dim} principal axes need as many steps and got {count}: collect more or choose a "
            "smaller dim."
        )
    if width <= EXACT_WIDTH:
        basis = torch.eye(width)
    else:
        generator = torch.Generator().manual_seed(seed)
        start = torch.randn(width, min(dim + OVERSAMPLING, width), generator=generator)
        basis = torch.linalg.qr(start)[0]
        for _ in range(PASSES):
            basis = torch.linalg.qr(_covariance_times(rows, mean, basis))[0]
    small = torch.zeros(basis.shape[1], basis.shape[1], dtype=torch.float64)
    for chunk in rows():
        seen = (chunk - mean) if width <= EXACT_WIDTH else (chunk - mean) @ basis
        small += seen.T @ seen
    values, vectors = torch.linalg.eigh(small)
    order = torch.arange(len(values) - 1, len(values) - 1 - dim, -1)
    degrees = max(1, count - 1)
    return Axes(
        basis @ vectors[:, order].float(),
        (values[order] / degrees).clamp(min=0).float(),
        total / degrees,
    )


def _covariance_times(rows: Rows, mean: Tensor, basis: Tensor) -> Tensor:
    """``XᵀX @ basis`` for the centred rows X, chunk by chunk."""
    product = torch.zeros_like(basis)
    for chunk in rows():
        centred = chunk - mean
        product += centred.T @ (centred @ basis)
    return product
