"""The space in which a robot and a demonstration are compared."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError


class Space(nn.Module):
    """Latent states along their principal axes, in units of how far states are apart.

    It is linear in z, so imagined states are compared at the price of one product. The numbers keep
    their weights beside each other and have a mean variance of 1.

    Args:
        latent: Z.
    """

    mean: Float[Tensor, " Z"]
    matrix: Float[Tensor, "Z Z"]

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("matrix", torch.zeros(latent, latent))

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """Coordinates."""
        return (z.float() - self.mean) @ self.matrix

    def distance(
        self, z: Float[Tensor, "*batch Z"], place: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch"]:
        """Root mean squared difference to coordinates ``place``; 1.4 for two random states."""
        difference: Tensor = self(z) - place
        return difference.square().mean(-1).sqrt()

    @torch.no_grad()
    def settle(self, z: Float[Tensor, "n Z"]) -> Space:
        """Take the axes and the scale of states that belong together, such as those of training.

        Raises:
            ForesightError: fewer than two states, or states that never move.
        """
        if len(z) < 2 or not bool(z.isfinite().all()):
            raise ForesightError(
                f"{len(z)} latent states, or states that are not finite, span no space: give those "
                "of whole episodes."
            )
        mean = z.double().mean(0)
        covariance = torch.cov((z.double() - mean).T).reshape(2 * (z.shape[1],))
        values, axes = torch.linalg.eigh(covariance)
        if not float(values.mean()) > 0:
            raise ForesightError(
                "The latent states never move, so nothing can be compared: train the model first."
            )
        self.mean.copy_(mean.to(self.mean))
        self.matrix.copy_((axes.flip(1) * values.flip(0).mean().rsqrt()).to(self.matrix))
        return self
