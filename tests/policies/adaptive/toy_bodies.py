"""A linear system that changes, its model that does not know, and what is seen of it."""

from __future__ import annotations

import torch
from torch import nn

from foresight.policies.adaptive.correction import Transition
from foresight.worldmodel.dynamics.rollout import mean_step, rollout

Z, A = 6, 2
TURN = torch.eye(Z) + 0.15 * torch.randn(Z, Z, generator=torch.Generator().manual_seed(1))
TURN = 0.95 * TURN / torch.linalg.svdvals(TURN).max()
PUSH = 0.4 * torch.randn(A, Z, generator=torch.Generator().manual_seed(2))


class Linear(nn.Module):
    """``z' = TURN z + PUSH a``, as two members that agree."""

    def __init__(self, gain=(1.0, 1.0)):
        super().__init__()
        self.members = 2
        self.turn = nn.Parameter(TURN.clone().expand(2, 1, -1, -1).clone())
        self.push = nn.Parameter((torch.tensor(gain)[:, None] * PUSH).expand(2, 1, -1, -1).clone())

    def step(self, z, action):
        return (z[..., None, :] @ self.turn + action[..., None, :] @ self.push)[..., 0, :]

    def forward(self, z, actions):
        if z.ndim == actions.ndim - 1:
            z = z.expand(2, *z.shape)
        return rollout(self.step, z, actions.expand(2, *actions.shape))


def live(correction, body, model, steps=60, robots=1, seed=0):
    """Random actions on the body; the correction learns from each."""
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(robots, Z, generator=random)
    for _ in range(steps):
        action = torch.rand(robots, A, generator=random) * 2 - 1
        with torch.no_grad():
            after, predicted = mean_step(body, z, action), mean_step(model, z, action)
        correction.learn(Transition(z, action, predicted, after, torch.ones(robots)))
        z = after
    return z
