"""Means with intervals, rates with intervals, and differences paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from foresight.core.errors import ForesightError

Row = dict[str, Any]
Summary = dict[str, dict[str, float]]

TRIVIAL = ("zero", "random", "constant")
"""Conditions that need no skill: a result counts only beside the best of them."""

NOTHING = 1e-9
"""Smaller differences are none: smooth rewards have tails that never quite end."""

LEVEL = 0.95
RESAMPLES = 10_000

# Resampling indices are drawn in blocks of at most this many numbers (32 MB).
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A mean or a rate with its interval.

    Attributes:
        mean: the estimate.
        low: lower end; equal to ``mean`` for n = 1, where nothing is known about the spread.
        high: upper end.
        n: number of episodes or measurements behind it.
    """

    mean: float
    low: float
    high: float
    n: int

    def as_dict(self) -> dict[str, float]:
        """The form that result files hold."""
        return asdict(self)


def bootstrap_interval(
    values: ArrayLike, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Mean with its percentile-bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    Args:
        values: [n] finite numbers, n ≥ 1.
        level: coverage of the interval, between 0 and 1.
        resamples: how often n values are drawn with replacement.
        seed: of the draws; the same values and seed give the same interval.

    Raises:
        ForesightError: no values, values that are not finite, or a level outside (0, 1).
    """
    data = _vector(values)
    _check_level(level)
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, _BLOCK // data.size)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        draws = generator.integers(0, data.size, size=(count, data.size))
        means[start : start + count] = data[draws].mean(axis=1)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(data.mean()), float(low), float(high), data.size)


def wilson_interval(k: int, n: int, level: float = LEVEL) -> Interval:
    """Rate k/n with Wilson's score interval (Wilson 1927), sound also for k = 0 and k = n.

    Raises:
        ForesightError: not 0 ≤ k ≤ n with n ≥ 1.
    """
    if not 0 <= k <= n or n < 1:
        raise ForesightError(f"{k} successes of {n} episodes: 0 <= successes <= episodes, >= 1.")
    _check_level(level)
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate = k / n
    scale = 1 + z * z / n
    centre = (rate + z * z / (2 * n)) / scale
    half = z / scale * (rate * (1 - rate) / n + z * z / (4 * n * n)) ** 0.5
    low = 0.0 if k == 0 else max(0.0, centre - half)  # exact ends, not 1e-17
    high = 1.0 if k == n else min(1.0, centre + half)
    return Interval(rate, low, high, n)


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ``a - b`` with its bootstrap interval; pairs are resampled together.

    Args:
        a: [n] returns of one condition.
        b: [n] returns of the other one, in the same order of seeds.
        level: coverage of the interval.
        resamples: number of bootstrap draws.
        seed: of the draws.

    Raises:
        ForesightError: the lengths differ, or the values are empty or not finite.
    """
    first, second = _paired(a, b)
    return bootstrap_interval(first - second, level, resamples, seed)


def ratio_interval(
    a: ArrayLike,
    b: ArrayLike,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Mean of ``a`` over mean of ``b`` with its bootstrap interval; pairs are resampled together.

    Args:
        a: [n] returns of one condition.
        b: [n] returns of the other one, in the same order of seeds, of a mean that is not 0.
        level: coverage of the interval.
        resamples: number of bootstrap draws; one whose ``b`` adds up to 0 counts as the estimate.
        seed: of the draws.

    Raises:
        ForesightError: the lengths differ, ``b`` adds up to 0, or the values are empty or not
            finite.
    """
    first, second = _paired(a, b)
    _check_level(level)
    if not second.sum():
        raise ForesightError("A ratio to returns that add up to 0 was asked for: it has no value.")
    ratio = float(first.sum() / second.sum())
    draws = np.random.default_rng(seed).integers(0, first.size, size=(resamples, first.size))
    above, below = first[draws].sum(1), second[draws].sum(1)
    ratios = np.divide(above, below, out=np.full(resamples, ratio), where=below != 0)
    low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
    return Interval(ratio, float(low), float(high), first.size)


def condition_difference(rows: Iterable[Row], task: str, condition: str, baseline: str) -> Interval:
    """Return of ``condition`` minus return of ``baseline`` on the seeds that both have run.

    Raises:
        ForesightError: the two share no seed, or an episode is listed twice.
    """
    rows = list(rows)
    ours, theirs = returns_by_seed(rows, task, condition), returns_by_seed(rows, task, baseline)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise ForesightError(
            f"{condition} and {baseline} share no seed on {task}: run both on the same seeds."
        )
    return paired_difference([ours[s] for s in shared], [theirs[s] for s in shared])


def best_trivial(rows: Iterable[Row], task: str) -> str | None:
    """The trivial condition with the highest mean return on ``task``; None if none was run."""
    rows = list(rows)
    means = {}
    for condition in TRIVIAL:
        returns = returns_by_seed(rows, task, condition)
        if returns:
            means[condition] = np.mean(list(returns.values()))
    return max(means, key=lambda condition: means[condition]) if means else None


def returns_by_seed(rows: Iterable[Row], task: str, condition: str) -> dict[int, float]:
    """Return of every episode of one task and condition.

    Raises:
        ForesightError: a seed is listed twice, which would count one episode double.
    """
    found: dict[int, float] = {}
    for row in rows:
        if "return" in row and row["task"] == task and row["condition"] == condition:
            if row["seed"] in found:
                raise ForesightError(
                    f"{condition} on {task} lists seed {row['seed']} twice: keep one row each."
                )
            found[row["seed"]] = row["return"]
    return found


def summarise(rows: Sequence[Row]) -> Summary:
    """Everything that tables show, computed from the rows.

    Keys, for episode rows of each task and condition:
        ``<condition>/<task>``: mean return, bootstrap interval.
        ``<condition>:success/<task>``: success rate, Wilson interval, where rows tell.
        ``<condition>:decision_ms/<task>``: milliseconds per decision, where rows carry them.
        ``<condition>:minus-<baseline>/<task>``: paired difference of returns to the best trivial
        condition, where one was run on shared seeds.

    For measurement rows: ``[<condition>:]<measure>[@<horizon>]/<task>``, mean with bootstrap
    interval (the task is ``all`` where rows name none).
    """
    summary: Summary = {}
    episodes = [row for row in rows if "measure" not in row]
    for task, condition in dict.fromkeys((row["task"], row["condition"]) for row in episodes):
        chosen = [r for r in episodes if r["task"] == task and r["condition"] == condition]
        returns = returns_by_seed(chosen, task, condition)
        summary[f"{condition}/{task}"] = bootstrap_interval(list(returns.values())).as_dict()
        told = [bool(row["success"]) for row in chosen if "success" in row]
        if told:
            rate = wilson_interval(sum(told), len(told))
            summary[f"{condition}:success/{task}"] = rate.as_dict()
        times = [row["decision_ms"] for row in chosen if row.get("decision_ms") is not None]
        if times:
            summary[f"{condition}:decision_ms/{task}"] = bootstrap_interval(times).as_dict()
    summary |= _differences(episodes)
    summary |= _measurements([row for row in rows if "measure" in row])
    return summary


def measure_key(row: Row) -> str:
    """The summary key of a measurement row: ``[<condition>:]<measure>[@<horizon>]/<task>``."""
    condition = f"{row['condition']}:" if row.get("condition") is not None else ""
    horizon = f"@{row['horizon']}" if row.get("horizon") is not None else ""
    return f"{condition}{row['measure']}{horizon}/{row.get('task') or 'all'}"


def _differences(episodes: list[Row]) -> Summary:
    summary: Summary = {}
    for task, condition in dict.fromkeys((row["task"], row["condition"]) for row in episodes):
        baseline = best_trivial(episodes, task)
        if baseline is None or baseline == condition:
            continue
        ours = returns_by_seed(episodes, task, condition)
        if ours.keys() & returns_by_seed(episodes, task, baseline).keys():
            difference = condition_difference(episodes, task, condition, baseline)
            summary[f"{condition}:minus-{baseline}/{task}"] = difference.as_dict()
    return summary


def _measurements(rows: list[Row]) -> Summary:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(measure_key(row), []).append(row["value"])
    return {key: bootstrap_interval(values).as_dict() for key, values in groups.items()}


def _vector(values: ArrayLike) -> np.ndarray:
    data = np.asarray(values, dtype=np.float64).reshape(-1)
    if data.size == 0:
        raise ForesightError("An interval of no values was asked for: at least one is needed.")
    if not np.isfinite(data).all():
        raise ForesightError(
            f"{int((~np.isfinite(data)).sum())} of {data.size} values are not finite: an interval "
            "needs finite numbers."
        )
    return data


def _paired(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    first, second = _vector(a), _vector(b)
    if first.size != second.size:
        raise ForesightError(
            f"Paired samples of {first.size} and {second.size} values: run both on the same seeds."
        )
    return first, second


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ForesightError(f"Interval level {level}: expected a number between 0 and 1.")
