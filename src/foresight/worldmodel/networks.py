"""The networks that imagine: residual dynamics and reward, in the sources' shapes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class ResidualDynamics(nn.Module):
    """``z' = z + f(z, a)`` with ``f`` a LayerNorm-ReLU MLP.

    With a latent of 1024, two actions and the default sizes this is the sources' network
    1026 → 512 → 512 → 512 → 1024 (findings, phase 3). Predicting the change instead of the state
    makes "nothing moves" the starting point, which is also the persistence baseline.
    """

    def __init__(self, latent: int, actions: int, hidden: int = 512, layers: int = 3) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        width = latent + actions
        for _ in range(layers):
            blocks += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU()]
            width = hidden
        self.net = nn.Sequential(*blocks, nn.Linear(width, latent))

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One imagined step. The sum is kept in the dtype of ``z`` whatever the weights' is."""
        joined = torch.cat([z, action.to(z.dtype)], dim=-1)
        weight = self.net[0].weight
        assert isinstance(weight, Tensor)
        return z + self.net(joined.to(weight.dtype)).to(z.dtype)

    def forward(
        self, z: Float[Tensor, "*batch Z"], actions: Float[Tensor, "*batch H A"]
    ) -> Float[Tensor, "*batch H+1 Z"]:
        """Imagine ``H`` steps open loop; entry 0 is ``z`` itself."""
        states = [z]
        for action in actions.unbind(-2):
            states.append(self.step(states[-1], action))
        return torch.stack(states, dim=-2)


class RewardModel(nn.Module):
    """``r(z, a)``, an MLP with two hidden layers of 256 (findings, phases 5b and 6)."""

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
