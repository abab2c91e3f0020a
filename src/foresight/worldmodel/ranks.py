"""Statistics of ranks: Spearman's correlation and the area under the ROC curve."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def ranks(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Ranks from 1 on, equal values sharing the mean of theirs (float64)."""
    _, inverse, counts = torch.unique(x.detach().double(), return_inverse=True, return_counts=True)
    last = counts.cumsum(0).double()
    return (last - (counts - 1) / 2)[inverse]


def spearman(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> float:
    """Pearson's correlation of the ranks; 0 where one of them does not vary."""
    first, second = ranks(x), ranks(y)
    first, second = first - first.mean(), second - second.mean()
    scale = first.norm() * second.norm()
    return float(first @ second / scale) if float(scale) > 0 else 0.0


def auc(positive: Float[Tensor, " n"], negative: Float[Tensor, " m"]) -> float:
    """Chance that a positive is larger than a negative, ties counting half (Mann–Whitney)."""
    n, m = len(positive), len(negative)
    total = ranks(torch.cat([positive, negative]))[:n].sum()
    return float((total - n * (n + 1) / 2) / (n * m))
