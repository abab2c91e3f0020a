"""Worlds on a line whose best policy is known, in the form that an actor dreams in."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from torch import nn

from foresight.training.doubt import Doubt
from foresight.training.imagination_run import replay_of

PUSH, EFFORT = 0.5, 0.3


class Line(nn.Module):
    """``z' = z + PUSH a`` and ``r = -(z² + EFFORT a²)``: linear-quadratic.

    Args:
        discount: γ.
        bias: what members add to a step, each its own; one number for all is no disagreement.
        doubtful_from: members differ beyond this place only.
        growing: and the more, the farther from it.
    """

    def __init__(
        self, discount=0.9, bias=(0.0, 0.0, 0.0), doubtful_from=-torch.inf, growing=False
    ) -> None:
        super().__init__()
        self.latent, self.continuation, self.prior, self.reward = 1, None, None, self
        heads = SimpleNamespace(hidden=32)
        self.config = SimpleNamespace(discount=discount, actions=1, heads=heads)
        self.dynamics = Steps(torch.tensor(bias), doubtful_from, growing)

    def reward_of(self, z, action):
        return -(z[..., 0].square() + EFFORT * action[..., 0].square())


class Right(Line):
    """The same line, but all there is to earn lies to the right."""

    def reward_of(self, z, action):
        return z[..., 0].clamp(-1, 1)


class Steps(nn.Module):
    def __init__(self, bias, doubtful_from, growing) -> None:
        super().__init__()
        self.bias, self.doubtful_from, self.growing = nn.Parameter(bias), doubtful_from, growing
        self.members = len(bias)

    def step(self, z, action):
        beyond = z - self.doubtful_from
        apart = self.bias[:, None, None] * (beyond.clamp(min=0) if self.growing else beyond > 0)
        return z + PUSH * action + apart


def best_gain(discount, rounds=1000):
    """K of the best ``a = -K z``, by the Riccati equation of ``V = -P z²``, a step at a time."""
    p = 1.0
    for _ in range(rounds):
        gain = discount * p * PUSH / (EFFORT + discount * p * PUSH**2)
        p = 1 + EFFORT * gain**2 + discount * p * (1 - PUSH * gain) ** 2
    return gain


def places(count=512, episodes=4, wide=1.0):
    """A replay of random places, in which something random was done."""
    random = torch.Generator().manual_seed(0)
    found = []
    for _ in range(episodes):
        z = wide * (2 * torch.rand(count // episodes, 1, generator=random) - 1)
        found.append((z, 2 * torch.rand(len(z), 1, generator=random) - 1))
    return replay_of(found, [False] * episodes)


def no_doubt(lowest=-1.3, highest=0.0):
    return Doubt(0.0, torch.inf, lowest, highest)
