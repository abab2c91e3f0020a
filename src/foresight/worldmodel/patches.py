"""Tokens of a picture as one short vector that keeps what stands where."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError


class PatchPCA(nn.Module):
    """``[P, D]`` tokens to ``[P C]`` numbers: centred at each patch, then C axes shared by all.

    The axes are principal components of the centred tokens, each divided by the square root of its
    own deviation, so that what moves little is not drowned by what moves most. Centring at each
    patch removes the scene that stays; what is left of a token is what differs from it.

    Args:
        patches: P.
        dim: D.
        n_components: C.
    """

    mean: Tensor
    projection: Tensor

    def __init__(self, patches: int, dim: int, n_components: int) -> None:
        super().__init__()
        if not 1 <= n_components <= dim:
            raise ForesightError(
                f"Tokens of {dim} channels cannot be kept as {n_components} numbers: choose 1 to "
                f"{dim}."
            )
        self.patches, self.dim, self.n_components = patches, dim, n_components
        self.register_buffer("mean", torch.zeros(patches, dim))
        self.register_buffer("projection", torch.zeros(dim, n_components))

    @property
    def features(self) -> int:
        """Numbers of a picture, P times C."""
        return self.patches * self.n_components

    @torch.no_grad()
    def fit(self, tokens: Float[Tensor, "n p d"]) -> float:
        """Fit mean and axes; outputs of these tokens get a mean square of 1.

        Returns:
            The share of the tokens' variance that the axes keep.

        Raises:
            ForesightError: tokens that never change, of another shape, or not finite.
        """
        if tuple(tokens.shape[1:]) != (self.patches, self.dim):
            raise ForesightError(
                f"Tokens of shape {list(tokens.shape)} do not fit {self.patches} patches of "
                f"{self.dim} channels: encode them with the encoder of this model."
            )
        tokens = tokens.float()
        mean = tokens.mean(0)
        rows = (tokens - mean).flatten(0, 1)
        covariance = (rows.T @ rows / len(rows)).double()
        total = float(covariance.trace())
        if not total > 0:
            raise ForesightError(
                "The pictures never change, so there is nothing to learn from: check the frames."
            )
        values, vectors = torch.linalg.eigh(covariance)
        count = self.n_components
        values, vectors = values[-count:].flip(0), vectors[:, -count:].flip(1)
        scale = values.clamp(min=float(values[0]) * 1e-3) ** 0.25
        projection = (vectors / scale).float()
        self.mean.copy_(mean)
        self.projection.copy_(projection / (rows @ projection).square().mean().sqrt())
        return float(values.sum()) / total

    def forward(self, tokens: Float[Tensor, "*batch p d"]) -> Float[Tensor, "*batch f"]:
        """Numbers ``[..., P C]`` of tokens ``[..., P, D]``."""
        return ((tokens.float() - self.mean) @ self.projection).flatten(-2)
