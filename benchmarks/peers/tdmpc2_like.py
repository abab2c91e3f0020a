"""An update in the manner of TD-MPC2, in plain PyTorch, to be timed beside ours.

Written from the paper (Hansen et al. 2024, arXiv 2310.16828): MLPs of LayerNorm and Mish, a latent
of SimNorm groups, one dynamics, five values of which two at random make the target, losses of
consistency, reward and value over the imagined steps, and a policy that follows the values.
Published constants; sizes are the caller's.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.dynamics.stacked import stack
from foresight.worldmodel.heads.scalar import TwoHot

GROUP, VALUES, BINS = 8, 5, 101
CONSISTENCY, REWARD, VALUE = 20.0, 0.1, 0.1
DECAY, DISCOUNT, ENTROPY, TAU, CLIP = 0.5, 0.97, 1e-4, 0.01, 20.0


class SimNorm(nn.Module):
    """Softmax over neighbouring groups of 8."""

    def forward(self, x: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """Shares."""
        return x.unflatten(-1, (-1, GROUP)).softmax(-1).flatten(-2)


def mlp(inputs: int, hidden: int, outputs: int, *end: nn.Module) -> nn.Sequential:
    """Two hidden layers of LayerNorm and Mish; ``end`` follows the last linear map."""
    layers: list[nn.Module] = []
    for width in (inputs, hidden):
        layers += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.Mish()]
    return nn.Sequential(*layers, nn.Linear(hidden, outputs), *end)


class TDMPC2Like:
    """The networks, their optimisers and one update.

    Args:
        observation: numbers that the encoder reads.
        actions: A.
        latent: Z.
        hidden: width of all networks.
        dtype: of the products, by autocast.
    """

    def __init__(
        self, observation: int, actions: int, latent: int, hidden: int, dtype: torch.dtype
    ) -> None:
        self.dtype = dtype
        ending = (nn.LayerNorm(latent), SimNorm())
        self.encoder = mlp(observation, hidden, latent, *ending)
        self.dynamics = mlp(latent + actions, hidden, latent, *copy.deepcopy(ending))
        self.reward = mlp(latent + actions, hidden, BINS)
        self.values = stack([mlp(latent + actions, hidden, BINS) for _ in range(VALUES)])
        self.target = copy.deepcopy(self.values).requires_grad_(False)
        self.policy = mlp(latent, hidden, 2 * actions)
        self.code, self.scale = TwoHot(BINS, -10, 10), torch.ones(())
        self.learned = nn.ModuleList([self.encoder, self.dynamics, self.reward, self.values])
        rest = [p for part in list(self.learned)[1:] for p in part.parameters()]
        groups: list[dict[str, Any]] = [
            {"params": list(self.encoder.parameters()), "lr": 0.3 * 3e-4},
            {"params": rest},
        ]
        self.optimizer = torch.optim.Adam(groups, lr=3e-4)
        self.policy_optimizer = torch.optim.Adam(self.policy.parameters(), lr=3e-4, eps=1e-5)

    def update(
        self,
        seen: Float[Tensor, "H1 B O"],
        actions: Float[Tensor, "H B A"],
        rewards: Float[Tensor, "H B"],
    ) -> None:
        """One update of everything."""
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            loss, states = self._model_loss(seen, actions, rewards)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.learned.parameters(), CLIP)
        self.optimizer.step()
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            policy_loss = self._policy_loss(states.detach())
        self.policy_optimizer.zero_grad(set_to_none=True)
        policy_loss.backward()
        nn.utils.clip_grad_norm_(self.policy.parameters(), CLIP)
        self.policy_optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.values.parameters(), strict=True):
                slow.lerp_(fast, TAU)

    def _model_loss(self, seen: Tensor, actions: Tensor, rewards: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            ahead = self.encoder(seen[1:])
            chosen, _ = self._act(ahead)
            pair = torch.randperm(VALUES)[:2]
            least = self.code.decode(self._values(self.target, ahead, chosen)[pair]).amin(0)
            targets = rewards + DISCOUNT * least
        states = [self.encoder(seen[0])]
        for action in actions:
            states.append(self.dynamics(torch.cat([states[-1].float(), action], -1)))
        z = torch.stack(states).float()
        weights = DECAY ** torch.arange(len(actions))
        consistency = functional.mse_loss(z[1:], ahead.float(), reduction="none").mean((1, 2))
        raw = self.reward(torch.cat([z[:-1], actions], -1)).float()
        reward = self.code.loss(raw, rewards).mean(1)
        raw = self._values(self.values, z[:-1], actions)
        value = self.code.loss(raw, targets.expand(raw.shape[:-1])).mean((0, 2))
        each = CONSISTENCY * consistency + REWARD * reward + VALUE * value
        return (weights * each).mean(), z

    def _policy_loss(self, z: Tensor) -> Tensor:
        action, density = self._act(z)
        self.values.requires_grad_(False)
        value = self.code.decode(self._values(self.values, z, action)[torch.randperm(VALUES)[:2]])
        self.values.requires_grad_(True)
        value = value.mean(0)
        low, high = torch.quantile(value[0].detach(), torch.tensor([0.05, 0.95]))
        self.scale = self.scale.lerp((high - low).clamp(min=1), TAU)
        each = (ENTROPY * density - value / self.scale).mean(1)
        return (DECAY ** torch.arange(len(z)) * each).mean()

    def _values(self, values: nn.Module, z: Tensor, action: Tensor) -> Tensor:
        joined = torch.cat([z.float(), action], -1)
        found: Tensor = values(joined.expand(VALUES, *joined.shape))
        return found.float()

    def _act(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """An action and its log probability."""
        mean, raw = self.policy(z).float().chunk(2, -1)
        log = -10 + 0.5 * 12 * (raw.tanh() + 1)
        noise = torch.randn_like(mean)
        action = (mean + log.exp() * noise).tanh()
        density = -0.5 * noise.square() - log - 0.9189385
        return action, (density - ((1 - action.square()).clamp(min=0) + 1e-6).log()).sum(-1)
