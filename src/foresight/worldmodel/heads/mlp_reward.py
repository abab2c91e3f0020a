"""A plain reward model, trained by squared error."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class RewardModel(nn.Module):
    """``r(z, a)``, an MLP with two hidden layers of 256."""

    def __init__(self, latent: int, actions: int, hidden: int = 256) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent + actions, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, 1),
        )

    def forward(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch"]:
        """Predicted reward of taking ``action`` in state ``z``, in the dtype of ``z``."""
        joined = torch.cat([z, action.to(z.dtype)], dim=-1)
        weight = self.net[0].weight
        assert isinstance(weight, Tensor)
        return self.net(joined.to(weight.dtype)).squeeze(-1).to(z.dtype)

    def errors(
        self,
        z: Float[Tensor, "*batch Z"],
        target: Float[Tensor, "*batch"],
        action: Float[Tensor, "*batch A"],
    ) -> Float[Tensor, "*batch"]:
        """Squared error of each prediction."""
        return (self(z, action) - target).square()
