"""The action prior: what a policy would do, as a squashed Gaussian."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.worldmodel.mlp import MLP

LOG_DEVIATION = (-5.0, 0.5)
"""Bounds of the prior's log standard deviation, before squashing."""
FIRST_DEVIATION = 0.75
"""What the last layer says of the deviation, if it is to try much: about .6 before squashing."""


class ActionPrior(nn.Module):
    """A squashed Gaussian over actions in [-1, 1] (TD-MPC2; Hansen et al. 2024)."""

    def __init__(self, latent: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.net = MLP(
            nn.Linear(latent, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * actions),
        )

    def widen(self) -> ActionPrior:
        """Let a new one try much, instead of little."""
        last = self.net[-1]
        assert isinstance(last, nn.Linear)
        with torch.no_grad():
            last.bias.chunk(2)[1].fill_(FIRST_DEVIATION)
        return self

    def forward(
        self, z: Float[Tensor, "*batch Z"]
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch A"]]:
        """Mean and standard deviation before squashing."""
        mean, raw = self.net(z.to(next(self.net.parameters()).dtype)).float().chunk(2, dim=-1)
        low, high = LOG_DEVIATION
        return mean, (low + 0.5 * (high - low) * (torch.tanh(raw) + 1)).exp()

    def mean_action(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch A"]:
        """The action of no noise, in [-1, 1]."""
        return torch.tanh(self(z)[0])

    def sample(
        self, z: Float[Tensor, "*batch Z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch"]]:
        """An action and its log probability (SAC; Haarnoja et al. 2018, appendix C)."""
        mean, deviation = self(z)
        return self.drawn(mean, deviation, generator)

    def drawn(
        self,
        mean: Float[Tensor, "*batch A"],
        deviation: Float[Tensor, "*batch A"],
        generator: torch.Generator | None = None,
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch"]]:
        """`sample` from what the prior gave."""
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        return self.shaped(mean, deviation, noise)

    @staticmethod
    def shaped(
        mean: Float[Tensor, "*batch A"],
        deviation: Float[Tensor, "*batch A"],
        noise: Float[Tensor, "*batch A"],
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch"]]:
        """The action that standard normal noise becomes, and its log probability."""
        action = torch.tanh(mean + deviation * noise)
        density = -0.5 * noise.square() - deviation.log() - 0.9189385
        inside = (1 - action.square()).clamp(min=0) + 1e-6
        return action, (density - inside.log()).sum(-1)
