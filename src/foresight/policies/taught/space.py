"""The space in which a robot and a demonstration are compared."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError

Kind = Literal["latent", "white", "places", "control"]
FLOOR = 1e-2
"""Least variance of an axis, as a share of the mean one: smaller ones are mostly noise."""
RIDGE = 1e-3


class Space(nn.Module):
    """A linear map from latent states to K numbers, in units of how far states are apart.

    It is linear in z, so imagined states are compared at the price of one product. What the numbers
    are depends on what it was fitted to, see the functions of this module. White numbers have unit
    variance each; others keep their weights beside each other and have a mean variance of 1.

    Args:
        latent: Z.
        dims: K.
    """

    mean: Float[Tensor, " Z"]
    matrix: Float[Tensor, "Z K"]

    def __init__(self, latent: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("matrix", torch.zeros(latent, dims))

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch K"]:
        """Coordinates."""
        return (z.float() - self.mean) @ self.matrix

    def distance(
        self, z: Float[Tensor, "*batch Z"], place: Float[Tensor, "*batch K"]
    ) -> Float[Tensor, "*batch"]:
        """Root mean squared difference to coordinates ``place``; 1.4 for two random states."""
        difference: Tensor = self(z) - place
        return difference.square().mean(-1).sqrt()

    @torch.no_grad()
    def settle(self, z: Float[Tensor, "n Z"], matrix: Float[Tensor, "Z J"], white: bool) -> Space:
        """Keep the K leading axes of ``(z - mean) matrix``, scaled by their deviations.

        Args:
            z: states that belong together, such as those of training.
            matrix: what of them counts.
            white: divide each axis by its own deviation, else all by one.

        Raises:
            ForesightError: fewer than two states, or states that never move.
        """
        dims = self.matrix.shape[1]
        if len(z) < 2 or not bool(z.isfinite().all()):
            raise ForesightError(
                f"{len(z)} latent states, or states that are not finite, span no space: give those "
                "of whole episodes."
            )
        mean = z.double().mean(0)
        moved = (z.double() - mean) @ matrix.double()
        values, axes = torch.linalg.eigh(torch.cov(moved.T).reshape(2 * (moved.shape[1],)))
        values, axes = values[-dims:].flip(0), axes[:, -dims:].flip(1)
        if not float(values.mean()) > 0:
            raise ForesightError(
                "The latent states never move, so nothing can be compared: train the model first."
            )
        floored = values.clamp(min=FLOOR * float(values.mean()))
        scale = floored.rsqrt() if white else values.mean().rsqrt()
        self.mean.copy_(mean.to(self.mean))
        self.matrix.copy_((matrix.double() @ axes * scale).to(self.matrix))
        return self


def latent_axes(z: Float[Tensor, "n Z"]) -> Float[Tensor, "Z Z"]:
    """All of z. White: distances between whitened states; else between the states as they are."""
    return torch.eye(z.shape[1], dtype=z.dtype)


@torch.no_grad()
def place_axes(
    z: Float[Tensor, "n Z"], features: Float[Tensor, "n F"], dims: int
) -> Float[Tensor, "Z K"]:
    """What z says about the K leading principal components of the place numbers (ridge regression).

    Args:
        z: states.
        features: the place numbers they were made from.
        dims: K.
    """
    seen = features.float() - features.float().mean(0)
    _, values, axes = torch.pca_lowrank(seen, q=min(dims + 8, *seen.shape), center=False, niter=4)
    deviation = values[:dims] / len(seen) ** 0.5
    scores = seen @ axes[:, :dims] / deviation.clamp(min=1e-6)
    inputs = (z - z.mean(0)).double()
    gram = inputs.T @ inputs
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    found: Tensor = torch.linalg.solve(gram + ridge, inputs.T @ scores.double())
    return found.to(z.dtype)
