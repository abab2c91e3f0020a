"""Means over what counts: answers of an expert, decisions that belong to an episode."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def distance_to_expert(
    mean: Float[Tensor, "*batch A"], expert_actions: Float[Tensor, "*batch A"]
) -> Float[Tensor, ""] | None:
    """Mean square error of the prior's mean actions where an expert answered; None where none did.

    Averaged over everything, so that few answers weigh little.

    Args:
        mean: before squashing.
        expert_actions: NaN where nobody asked.
    """
    known = expert_actions.isfinite()
    if not known.any():
        return None
    error = torch.tanh(mean) - expert_actions.nan_to_num()
    return torch.where(known, error, 0).square().mean()


def mean_of(
    each: Float[Tensor, "*heads E B H"], counts: Bool[Tensor, "E B H"]
) -> Float[Tensor, " H"]:
    """Mean over everything but the steps, of what counts; 0 at a step where nothing does."""
    share = counts.float().mean((0, 1)).clamp(min=1e-6)
    return (each * counts).mean(tuple(range(each.ndim - 1))) / share
