"""Distances in units of what states really do: whitening of the latent space."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError

FLOOR = 1e-3
"""Least variance of a direction that `whitening_matrix` believes in, as a share of the mean one."""


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
    values, axes = torch.linalg.eigh(covariance)
    scale = values.clamp(min=floor * float(values.mean())).rsqrt()
    return ((axes * scale) @ axes.T).to(z.dtype)


class Whitening:
    """Maps differences of states to units of their own variation.

    Args:
        matrix: W of `whitening_matrix`, symmetric.
    """

    def __init__(self, matrix: Float[Tensor, "Z Z"]) -> None:
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.matrix = matrix.detach().clone()

    def __call__(self, difference: Float[Tensor, "*b Z"]) -> Float[Tensor, "*b Z"]:
        """The difference in whitened units."""
        return difference @ self.matrix


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
