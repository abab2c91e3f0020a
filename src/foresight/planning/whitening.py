"""Units in which differences of latent states mean something."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.errors import ForesightError

# Directions in which the data hardly vary would be blown up to noise.
FLOOR = 1e-4


class Whitening:
    """Maps differences of states to units of their own variation.

    Make one with `from_std` or `from_covariance`.
    """

    def __init__(self, matrix: Float[Tensor, "Z"] | Float[Tensor, "Z Z"]) -> None:
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.matrix = matrix.detach().clone()

    @classmethod
    def from_std(cls, std: Float[Tensor, "Z"]) -> Whitening:
        """Divide each dimension by its standard deviation, at least 1e-2 of the largest.

        Raises:
            ForesightError: a negative or non-finite standard deviation, or all zero.
        """
        if std.ndim != 1 or not bool(std.isfinite().all() and (std >= 0).all() and std.max() > 0):
            raise ForesightError(
                f"A standard deviation of shape {list(std.shape)} cannot whiten: give one finite "
                "number of at least 0 for each latent dimension, not all of them 0."
            )
        return cls(1 / std.clamp(min=float(std.max()) * FLOOR**0.5))

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
        values, vectors = torch.linalg.eigh(covariance.double())
        values = values.clamp(min=float(values[-1]) * FLOOR)
        return cls(((vectors * values.rsqrt()) @ vectors.T).to(covariance.dtype))

    def __call__(self, difference: Float[Tensor, "*b Z"]) -> Float[Tensor, "*b Z"]:
        """The difference in whitened units."""
        if self.matrix.ndim == 1:
            return difference * self.matrix
        return difference @ self.matrix  # symmetric
