"""Small worlds whose futures are easy to write down."""

from __future__ import annotations

import torch
from torch import nn

from foresight.worldmodel.dynamics.residual import ResidualDynamics


class Integrator:
    """z' = z + a."""

    def step(self, z, action):
        return z + action


class Gains:
    """An ensemble of integrators, ``z' = z + gain * a``; looks at the shapes that it is given."""

    def __init__(self, *gains):
        self.gains = torch.tensor(gains)
        self.members = len(gains)
        self.seen = []

    def step(self, z, action):
        self.seen.append((tuple(z.shape), tuple(action.shape)))
        gains = self.gains.view(-1, *[1] * action.ndim)
        return z + gains * action


def random_network(seed=0, latent=8, actions=2, hidden=32, layers=3):
    """A residual MLP with norms that do something."""
    generator = torch.Generator().manual_seed(seed)
    network = ResidualDynamics(latent, actions, hidden, layers).requires_grad_(False)
    for parameter in network.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=generator) / 4)
    for module in network.net:
        if isinstance(module, nn.LayerNorm):
            module.weight.add_(1)
    return network
