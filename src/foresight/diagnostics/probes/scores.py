"""How good predictions are on held-out episodes: R² and accuracy with bootstrap intervals."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import LEVEL, Interval

RESAMPLES = 2_000


def r_squared(truth: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]) -> float:
    """1 - mean squared error / variance of the truth, both over the given windows.

    Raises:
        ForesightError: the truth does not vary.
    """
    if not varies(truth):
        raise ForesightError(
            f"A quantity has the one value {truth[0]:g} in all {len(truth)} held-out windows, so "
            "nothing can be said about reading it: collect more episodes or other behaviours."
        )
    return 1.0 - float(np.mean((truth - predicted) ** 2)) / float(np.var(truth))


def varies(truth: Float[np.ndarray, " n"]) -> bool:
    """Whether values differ by more than rounding."""
    return float(np.var(truth)) > 1e-12 * (1.0 + float(np.mean(truth)) ** 2)


def accuracy(truth: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"]) -> float:
    """Share of the windows whose class is right."""
    return float(np.mean(truth == predicted))


def r_squared_interval(
    truth: Float[np.ndarray, "n q"],
    predicted: Float[np.ndarray, "n q"],
    episodes: Int[np.ndarray, " n"],
    seed: int = 0,
) -> Interval:
    """Mean R² over quantities with the percentile-bootstrap interval over episodes.

    Windows of one episode are alike, so whole episodes are drawn (the cluster bootstrap: Davison
    & Hinkley 1997, section 3.8); every draw is measured against its own variance.

    Args:
        truth: ``[N, Q]``.
        predicted: ``[N, Q]``.
        episodes: the episode of each window ``[N]``.
        seed: of the draws.

    Raises:
        ForesightError: a quantity does not vary.
    """
    columns = range(truth.shape[1])
    mean = float(np.mean([r_squared(truth[:, q], predicted[:, q]) for q in columns]))
    centred = truth - truth.mean(axis=0)  # sums of squares then lose no digits
    weights, sums = _episode_draws(
        episodes,
        [np.ones(len(truth)), *((truth - predicted) ** 2).T, *centred.T, *(centred.T**2)],
        seed,
    )
    totals = weights @ sums
    count = totals[:, :1]
    error, first, second = np.split(totals[:, 1:], 3, axis=1)
    variation = second - first**2 / count
    # A draw of one episode over and over may hardly vary: it says nothing.
    sound = (variation > 1e-9 * count * centred.var(axis=0)).all(axis=1)
    values = (1.0 - error[sound] / variation[sound]).mean(axis=1)
    return _interval(mean, values, len(sums))


def accuracy_interval(
    truth: Float[np.ndarray, " n"],
    predicted: Float[np.ndarray, " n"],
    episodes: Int[np.ndarray, " n"],
    seed: int = 0,
) -> Interval:
    """Accuracy with the percentile-bootstrap interval over episodes."""
    right = (truth == predicted).astype(np.float64)
    weights, sums = _episode_draws(episodes, [np.ones(len(right)), right], seed)
    totals = weights @ sums
    return _interval(float(right.mean()), totals[:, 1] / totals[:, 0], len(sums))


def _episode_draws(
    episodes: np.ndarray, columns: list[np.ndarray], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often each episode is drawn ``[R, E]``, and each episode's sums ``[E, C]``."""
    names, place = np.unique(episodes, return_inverse=True)
    sums = np.stack(
        [np.bincount(place, weights=column, minlength=len(names)) for column in columns], axis=1
    )
    count = len(names)
    random = np.random.default_rng(seed)
    weights = random.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES)
    return weights.astype(np.float64), sums


def _interval(mean: float, values: np.ndarray, count: int) -> Interval:
    if count < 2 or len(values) == 0:
        return Interval(mean, mean, mean, count)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    # The estimate stands inside its own interval also where few episodes skew the draws.
    return Interval(mean, min(float(low), mean), max(float(high), mean), count)
