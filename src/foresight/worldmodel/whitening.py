"""Distances in units of what states really do: whitening of the latent space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError

FLOOR = 1e-3
"""Least variance of a direction that `whitening_matrix` believes in, as a share of the mean one."""
LEAST = 1e-4
"""The same for `Whitening`, which has no states to look at, as a share of the largest one."""


def whitening_matrix(z: Float[Tensor, "N Z"], floor: float = FLOOR) -> Float[Tensor, "Z Z"]:
    """The matrix W for which ``z W`` has unit variance in every direction and no correlation.

    With the covariance ``C = V diag(λ) Vᵀ``: ``W = V diag(max(λ, f mean λ)^-½) Vᵀ`` (symmetric, so
    the axes stay where they are as far as possible). The floor f keeps directions in which states
    hardly move from being blown up to the size of the others.

    Args:
        z: states, more than one.
        floor: f, as a share of the mean variance.

    Raises:
        ForesightError: fewer than two states, or states that do not vary.
    """
    if len(z) < 2 or not bool(z.isfinite().all()) or float(z.var(0).sum()) <= 0:
        raise ForesightError(
            f"{len(z)} latent states that do not vary or are not finite cannot be whitened: give "
            "the states of whole episodes."
        )
    covariance = torch.cov(z.double().T).reshape(z.shape[1], z.shape[1])
    return _inverse_root(covariance, lambda values: floor * float(values.mean())).to(z.dtype)


class Whitening:
    """Maps differences of states to units of their own variation.

    Make one with `from_std` or `from_covariance`.
    """

    def __init__(self, matrix: Float[Tensor, " Z"] | Float[Tensor, "Z Z"]) -> None:
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.matrix = matrix.detach().clone()

    @classmethod
    def from_std(cls, std: Float[Tensor, " Z"]) -> Whitening:
        """Divide each dimension by its standard deviation, at least 1e-2 of the largest.

        Raises:
            ForesightError: a negative or non-finite standard deviation, or all zero.
        """
        if std.ndim != 1 or not bool(std.isfinite().all() and (std >= 0).all() and std.max() > 0):
            raise ForesightError(
                f"A standard deviation of shape {list(std.shape)} cannot whiten: give one finite "
                "number of at least 0 for each latent dimension, not all of them 0."
            )
        return cls(1 / std.clamp(min=float(std.max()) * LEAST**0.5))

    @classmethod
    def from_covariance(cls, covariance: Float[Tensor, "Z Z"]) -> Whitening:
        """Mahalanobis units, ``V diag(λ^-1/2) V^T``; λ at least 1e-4 of the largest.

        Raises:
            ForesightError: no finite symmetric matrix, or all zero.
        """
        square = covariance.ndim == 2 and covariance.shape[0] == covariance.shape[1]
        if not (
            square
            and bool(covariance.isfinite().all())
            and torch.allclose(covariance, covariance.T, atol=1e-5 * float(covariance.abs().max()))
            and bool(covariance.diagonal().max() > 0)
        ):
            raise ForesightError(
                f"A covariance of shape {list(covariance.shape)} cannot whiten: give a finite, "
                "symmetric matrix over the latent dimensions that is not zero."
            )
        return cls(_inverse_root(covariance, lambda values: LEAST * float(values[-1])))

    def __call__(self, difference: Float[Tensor, "*b Z"]) -> Float[Tensor, "*b Z"]:
        """The difference in whitened units."""
        if self.matrix.ndim == 1:
            return difference * self.matrix
        return difference @ self.matrix  # symmetric


def disagreement(
    states: Float[Tensor, "E *batch Z"], whiten: Float[Tensor, "Z Z"] | None = None
) -> Float[Tensor, "*batch"]:
    """How far members are apart: the root of the mean variance over (whitened) dimensions.

    ``sqrt(mean_j Var_e((z_e W)_j))``, the variance over E members with divisor E. 1 means that the
    members differ as much as states of the data do.

    Args:
        states: what each member imagined.
        whiten: W; None leaves the states as they are.
    """
    moved = states if whiten is None else states @ whiten
    return moved.var(0, correction=0).mean(-1).sqrt()


def deviation(
    guess: Float[Tensor, "*batch Z"],
    truth: Float[Tensor, "*batch Z"],
    whiten: Float[Tensor, "Z Z"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Root mean squared difference over (whitened) dimensions, in the units of `disagreement`."""
    difference = guess - truth
    moved = difference if whiten is None else difference @ whiten
    return moved.square().mean(-1).sqrt()


def _inverse_root(
    covariance: Float[Tensor, "Z Z"], least: Callable[[Tensor], float]
) -> Float[Tensor, "Z Z"]:
    """``V diag(max(λ, least(λ))^-½) Vᵀ`` in the dtype of ``covariance = V diag(λ) Vᵀ``."""
    values, axes = torch.linalg.eigh(covariance.double())
    scale = values.clamp(min=least(values)).rsqrt()
    return ((axes * scale) @ axes.T).to(covariance.dtype)
