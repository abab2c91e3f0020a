"""Statistics of features: per episode, and exact over a whole dataset.

Pictures are counted in a histogram of their 256 levels, from which every statistic follows
exactly and which adds up over episodes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
LEVELS = 256

Stats = dict[str, list[Any]]
"""Name of the statistic to its values: one for each number of the feature; ``count`` is [n]."""


def numeric_stats(columns: dict[str, np.ndarray]) -> dict[str, Stats]:
    """Statistics of columns of equal length.

    Args:
        columns: name to numbers ``[T]`` or ``[T, D]``.

    Returns:
        For each column min, max, mean, std (of the population) and five quantiles (linear
        interpolation), lists of D numbers, and count ``[T]``. NaN stands for a number that nobody
        has and is left out; where there is no other, the statistics are 0.
    """
    blocks = {n: np.asarray(c, np.float64).reshape(len(c), -1) for n, c in columns.items()}
    table = np.concatenate(list(blocks.values()), axis=1)
    missing = np.isnan(table)
    holes = bool(missing.any())
    if holes:
        table = np.where(missing.all(0), 0.0, table)
    shares = list(QUANTILES.values())
    quantiles = (np.nanquantile if holes else np.quantile)(table, shares, axis=0)
    rows = {
        "min": (np.nanmin if holes else np.min)(table, 0),
        "max": (np.nanmax if holes else np.max)(table, 0),
        "mean": (np.nanmean if holes else np.mean)(table, 0),
        "std": (np.nanstd if holes else np.std)(table, 0),
        **dict(zip(QUANTILES, quantiles, strict=True)),
    }
    found: dict[str, Stats] = {}
    first = 0
    for name, block in blocks.items():
        last = first + block.shape[1]
        found[name] = {key: row[first:last].tolist() for key, row in rows.items()}
        found[name]["count"] = [len(block)]
        first = last
    return found


def histogram(frames: UInt8[np.ndarray, "T H W 3"]) -> Int64[np.ndarray, "3 256"]:
    """How often each level occurs in each colour channel."""
    total = np.zeros(3 * LEVELS, np.int64)
    for frame in frames:
        total += Image.fromarray(frame).histogram()
    return total.reshape(3, LEVELS)


def image_stats(levels: Int64[np.ndarray, "3 256"], frames: int) -> Stats:
    """Statistics of pictures scaled to [0, 1], each of shape ``[3, 1, 1]``; count is frames."""
    values = np.arange(LEVELS) / (LEVELS - 1)
    found: dict[str, list[float]] = {name: [] for name in NAMES if name != "count"}
    for counts in levels:
        total = counts.sum()
        seen = values[counts > 0]
        mean = float(counts @ values / total)
        found["min"].append(float(seen[0]))
        found["max"].append(float(seen[-1]))
        found["mean"].append(mean)
        found["std"].append(float(np.sqrt(counts @ (values - mean) ** 2 / total)))
        for name, share in QUANTILES.items():
            found[name].append(_quantile(counts, values, share))
    shaped: Stats = {name: [[[value]] for value in row] for name, row in found.items()}
    shaped["count"] = [frames]
    return shaped


def _quantile(counts: np.ndarray, values: np.ndarray, share: float) -> float:
    """Linear interpolation between order statistics, as ``numpy.quantile`` does."""
    ends = np.cumsum(counts)
    rank = share * (ends[-1] - 1)
    below = int(np.floor(rank))
    low, high = np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")
    return float(values[low] + (rank - below) * (values[high] - values[low]))
