"""Losses of prediction and of representation; each formula stands beside its code."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError

Kind = Literal["smooth_l1", "mse"]


def prediction_loss(
    imagined: Float[Tensor, "*lead B H Z"],
    truth: Float[Tensor, "*lead B H Z"],
    kind: Kind = "smooth_l1",
    discount: float = 1.0,
    mask: Bool[Tensor, "*lead B H"] | None = None,
) -> Float[Tensor, "*lead"]:
    """Error of imagined states, later steps weighted by ρ^t.

    ``Σ_{b,t} m_{b,t} ρ^t l(ẑ_{b,t}, z_{b,t}) / Σ_{b,t} m_{b,t} ρ^t``, with l the mean over the
    latent dimensions of the SmoothL1 (threshold 1) or squared error, and t from 0. All truncation
    of gradients happens where ``imagined`` is made (``truncate``).

    Args:
        imagined: H predicted states of B windows; axes in front (members) stay apart.
        truth: the true ones; broadcast over the axes in front.
        kind: smooth_l1 or mse.
        discount: ρ.
        mask: which steps count; steps behind an episode's end do not.

    Returns:
        One number for each entry of the axes in front; 0 where nothing counts.

    Raises:
        ForesightError: an unknown kind.
    """
    if kind not in ("smooth_l1", "mse"):
        raise ForesightError(f"There is no loss {kind!r}: choose smooth_l1 or mse.")
    truth = truth.expand_as(imagined)
    if mask is not None:
        # What lies behind an end may be NaN, and NaN times 0 would spoil the gradient.
        counts = mask[..., None].expand_as(imagined)
        imagined, truth = imagined.where(counts, 0.0), truth.where(counts, 0.0)
    error = functional.smooth_l1_loss if kind == "smooth_l1" else functional.mse_loss
    each = error(imagined, truth, reduction="none").mean(-1)
    powers = torch.arange(each.shape[-1], device=each.device, dtype=each.dtype)
    weights = (discount**powers).expand_as(each)
    if mask is not None:
        weights = weights * mask
    return (weights * each).sum((-2, -1)) / weights.sum((-2, -1)).clamp(min=1e-12)


def inverse_dynamics_loss(
    mean: Float[Tensor, "*batch A"],
    action: Float[Tensor, "*batch A"],
    log_deviation: Float[Tensor, "*batch A"] | None = None,
    mask: Bool[Tensor, "*batch"] | None = None,
) -> Float[Tensor, ""]:
    """How unlikely the action is that was taken between two states.

    Without ``log_deviation`` the mean squared error; with it the negative log-likelihood of a
    diagonal Gaussian, ``Σ_j (a_j - μ_j)² / 2σ_j² + log σ_j + ½ log 2π``.

    Args:
        mean: predicted actions.
        action: those taken.
        log_deviation: ``log σ``.
        mask: which pairs count.
    """
    if log_deviation is None:
        each = (mean - action).square().mean(-1)
    else:
        scaled = (action - mean) * torch.exp(-log_deviation)
        each = (0.5 * scaled.square() + log_deviation + 0.5 * math.log(2 * math.pi)).sum(-1)
    if mask is None:
        return each.mean()
    return (each * mask).sum() / mask.sum().clamp(min=1)


def temporal_ranking_loss(
    distance: Float[Tensor, "*batch T"],
    margin: float = 0.0,
    gaps: Float[Tensor, "*batch T"] | None = None,
) -> Float[Tensor, ""]:
    """States further away in time should be further away in distance.

    For each anchor the mean over the pairs with ``gap_j < gap_k`` of
    ``max(0, d_j - d_k + margin)``; then the mean over anchors.

    Args:
        distance: from an anchor to T states of its episode.
        margin: by how much the later one should be further away.
        gaps: steps from the anchor to each; 1, 2, …, T if not given.
    """
    if gaps is None:
        gaps = torch.arange(distance.shape[-1], device=distance.device).expand_as(distance)
    nearer = gaps[..., :, None] < gaps[..., None, :]
    violation = functional.relu(distance[..., :, None] - distance[..., None, :] + margin)
    return ((violation * nearer).sum((-2, -1)) / nearer.sum((-2, -1)).clamp(min=1)).mean()
