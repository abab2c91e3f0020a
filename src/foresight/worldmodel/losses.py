"""Losses of prediction and of representation; each formula stands beside its code."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch import distributed as dist
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


def episode_mask(ends: Bool[Tensor, "*batch T"]) -> Bool[Tensor, "*batch T-1"]:
    """Which steps of a window can be predicted: those with no episode's end before them.

    Args:
        ends: whether each of the window's T steps is the last one of its episode.

    Returns:
        For steps 1 … T-1 of the window whether they belong to the episode of step 0.
    """
    return ends[..., :-1].int().cumsum(-1) == 0


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


class VICReg(NamedTuple):
    """The two terms that keep a representation from collapsing."""

    variance: Float[Tensor, ""]
    covariance: Float[Tensor, ""]


def vicreg(z: Float[Tensor, "N D"], target: float = 1.0, eps: float = 1e-4) -> VICReg:
    """Variance and covariance terms of VICReg (Bardes et al. 2022, equations 1 to 4).

    Variance: ``mean_j max(0, γ - sqrt(Var(z_j) + ε))``, a spread below γ in a dimension.
    Covariance: ``Σ_{i≠j} C_ij² / D`` with C the covariance of the batch.

    Args:
        z: N states, at least two.
        target: γ.
        eps: ε, which bounds the gradient of the root.

    Raises:
        ForesightError: fewer than two states.
    """
    count, width = z.shape
    if count < 2:
        raise ForesightError(f"VICReg needs the spread of a batch and got {count} states: give 2.")
    centred = z - z.mean(0)
    deviation = torch.sqrt(centred.square().sum(0) / (count - 1) + eps)
    covariance = centred.T @ centred / (count - 1)
    squares = covariance.square()
    off_diagonal = squares.sum() - squares.diagonal().sum()
    return VICReg(functional.relu(target - deviation).mean(), off_diagonal / width)


def sigreg(
    z: Float[Tensor, "N D"],
    directions: int = 1024,
    knots: int = 17,
    span: float = 3.0,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Sketched isotropic Gaussian regulariser (LeJEPA; Balestriero & LeCun 2025).

    Along random unit directions u, drawn anew in every call, the Epps–Pulley statistic compares
    the empirical characteristic function of ``x = z u`` with a standard normal's ``exp(-t²/2)``:

    ``N Σ_k w_k [(mean cos(t_k x) - exp(-t_k²/2))² + (mean sin(t_k x))²]``, averaged over u,

    with ``knots`` points t_k evenly on [0, span] and w_k the trapezoid rule's weights times
    ``2 exp(-t_k²/2)`` (the integrand is even, so the half line counts twice). A batch from a
    standard normal gives about 1, whatever N; that of a collapsed one grows with N.

    Under `torch.distributed` all processes use the directions of the first, and the means run over
    all processes' states, so the statistic is that of the whole batch.

    Args:
        z: N states of this process.
        directions: projections.
        knots: points of the quadrature.
        span: its upper end.
        generator: of the directions.
    """
    t = torch.linspace(0, span, knots, device=z.device, dtype=z.dtype)
    step = span / (knots - 1)
    weight = torch.full_like(t, 2 * step)
    weight[[0, -1]] = step
    normal = torch.exp(-t.square() / 2)
    sketch = torch.randn(
        z.shape[1], directions, device=z.device, dtype=z.dtype, generator=generator
    )
    shared = dist.is_available() and dist.is_initialized()
    if shared:
        dist.broadcast(sketch, 0)
    projected = z @ functional.normalize(sketch, dim=0)
    angles = projected[..., None] * t
    means = torch.stack([angles.cos().mean(0), angles.sin().mean(0)])
    count = len(z)
    if shared:
        count *= dist.get_world_size()
        means = _mean_over_processes(means)
    distance = (means[0] - normal).square() + means[1].square()
    return count * (distance @ (weight * normal)).mean()


def _mean_over_processes(value: Tensor) -> Tensor:
    """The mean over processes; its gradient is that of the mean, back to every process."""
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(value) / dist.get_world_size()


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
