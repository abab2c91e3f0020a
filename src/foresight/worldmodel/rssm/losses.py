"""What teaches an RSSM: balanced divergence of latents, and a representation without decoder."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor


def divergence(
    one: Float[Tensor, "*batch G C"], other: Float[Tensor, "*batch G C"]
) -> Float[Tensor, "*batch"]:
    """``KL(one || other)`` of log probabilities, summed over G independent categoricals."""
    return (one.exp() * (one - other)).sum((-2, -1))


def balanced(
    posterior: Float[Tensor, "*batch G C"], prior: Float[Tensor, "*batch G C"], free: float
) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
    """What teaches the prior, and what holds the posterior near it (DreamerV3, equation 5).

    ``max(free, KL(sg(q) || p))`` and ``max(free, KL(q || sg(p)))``: of two numbers that are alike,
    the first has gradients for the prior alone, the second for the posterior alone.

    Args:
        posterior: log probabilities q.
        prior: p.
        free: nats below which nothing is taught.
    """
    dynamics = divergence(posterior.detach(), prior).clamp(min=free)
    return dynamics, divergence(posterior, prior.detach()).clamp(min=free)


def barlow(
    ours: Float[Tensor, "N E"], theirs: Float[Tensor, "N E"], redundancy: float
) -> Float[Tensor, ""]:
    """``Σ_i (1 - C_ii)² + λ Σ_{i≠j} C_ij²``, C the correlation of the two over the batch.

    Barlow Twins (Zbontar et al. 2021, arXiv 2103.03230) as R2-Dreamer has it (arXiv 2603.18202).

    Args:
        ours: numbers read from states.
        theirs: of the inputs; the caller detaches them.
        redundancy: λ.
    """
    first, second = (
        (part - part.mean(0)) / (part.std(0, correction=0) + 1e-6) for part in (ours, theirs)
    )
    correlation = first.T @ second / len(ours)
    own = correlation.diagonal()
    rest = correlation.square().sum() - own.square().sum()
    return (1 - own).square().sum() + redundancy * rest
