"""Dynamics from state and action alone: a residual MLP and residual blocks."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.worldmodel.dynamics.rollout import StepDynamics
from foresight.worldmodel.mlp import MLP


class DeltaDynamics(StepDynamics):
    """``z' = z + net([z, a])``, for any network whose first layer is linear.

    Predicting the change instead of the state makes "nothing moves" the starting point, which is
    also the persistence baseline.
    """

    def __init__(self, net: nn.Sequential) -> None:
        super().__init__()
        self.net = net

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One imagined step. The sum is kept in the dtype of ``z`` whatever the weights' is."""
        joined = torch.cat([z, action.to(z.dtype)], dim=-1)
        weight = self.net[0].weight
        assert isinstance(weight, Tensor)
        return z + self.net(joined.to(weight.dtype)).to(z.dtype)


class ResidualDynamics(DeltaDynamics):
    """``z' = z + f(z, a)`` with ``f`` a LayerNorm-ReLU MLP.

    With a latent of 1024, two actions and the default sizes it is 1026 → 512 → 512 → 512 → 1024.
    """

    def __init__(
        self, latent: int, actions: int, hidden: int = 512, layers: int = 3, dropout: float = 0.0
    ) -> None:
        blocks: list[nn.Module] = []
        width = latent + actions
        for _ in range(layers):
            blocks += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.ReLU()]
            blocks += dropouts(dropout)
            width = hidden
        super().__init__(MLP(*blocks, nn.Linear(width, latent)))


class ResBlockDynamics(DeltaDynamics):
    """``z' = z + f(z, a)`` with ``f`` a stack of residual blocks.

    Linear → LayerNorm → ReLU, ``layers`` blocks, Linear. 10,516,480 parameters for a latent of
    1024, two actions, a width of 1024 and four blocks. Without dropout it has been seen to memorise
    80 thousand transitions.
    """

    def __init__(
        self, latent: int, actions: int, hidden: int = 1024, layers: int = 4, dropout: float = 0.1
    ) -> None:
        entry = [nn.Linear(latent + actions, hidden), nn.LayerNorm(hidden), nn.ReLU()]
        blocks = [ResBlock(hidden, dropout) for _ in range(layers)]
        super().__init__(nn.Sequential(*entry, *blocks, nn.Linear(hidden, latent)))


class ResBlock(nn.Module):
    """``x + LayerNorm(Linear(dropout(ReLU(LayerNorm(Linear(x))))))``."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.ReLU(),
            *dropouts(dropout),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )

    def forward(self, x: Float[Tensor, "*batch W"]) -> Float[Tensor, "*batch W"]:
        """Add what the body gives."""
        return x + self.body(x)


def dropouts(share: float) -> list[nn.Module]:
    """A dropout layer, or none where nothing is dropped, so that layer numbers stay."""
    return [nn.Dropout(share)] if share else []
