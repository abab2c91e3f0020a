"""Proprioception read off a latent state, in training only."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.worldmodel.mlp import MLP


class ProprioReadout(nn.Module):
    """Proprioception read off a state: a dense lesson in where things are, used in training only.

    Args:
        latent: Z.
        count: numbers of proprioception.
        hidden: width.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, latent: int, count: int, hidden: int) -> None:
        super().__init__()
        self.net = MLP(
            nn.Linear(latent, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, count)
        )
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))

    @torch.no_grad()
    def fit(self, proprio: Float[Tensor, "n S"]) -> None:
        """Take scales from these numbers; what never changes keeps a scale of 1."""
        deviation = proprio.std(0)
        self.mean.copy_(proprio.mean(0))
        self.deviation.copy_(torch.where(deviation > 1e-4, deviation, torch.ones(())))

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch S"]:
        """Proprioception in its own units."""
        return self.net(z).float() * self.deviation + self.mean

    def loss(
        self, z: Float[Tensor, "*batch Z"], proprio: Float[Tensor, "*batch S"]
    ) -> Float[Tensor, ""]:
        """Mean square error in units of the deviation; far outliers count as 5 deviations."""
        wanted = ((proprio - self.mean) / self.deviation).clamp(-5, 5)
        return (self.net(z).float() - wanted).square().mean()
