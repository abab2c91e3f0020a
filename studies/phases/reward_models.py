"""Reward from a latent state and an action: closed-form ridge regression, and training of heads."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.scalar import ScalarHead
from foresight.worldmodel.heads.training import (
    HeadTraining,
    Latents,
    Record,
    episode_rows,
    train_head,
)

MOST_STEPS = 8192
"""Held-out steps that are looked at while training."""


class RidgeReward(nn.Module):
    """``r(z, a) = w · standardised [z, a] + b``, the linear baseline of a reward model.

    ``w = (XᵀX / n + λ I)⁻¹ Xᵀ(y - ȳ) / n`` with X standardised (Hoerl & Kennard 1970).
    """

    mean: Float[Tensor, " X"]
    scale: Float[Tensor, " X"]
    weight: Float[Tensor, " X"]
    bias: Float[Tensor, ""]

    def __init__(self, width: int) -> None:
        super().__init__()
        for name in ("mean", "scale", "weight"):
            self.register_buffer(name, torch.zeros(width))
        self.register_buffer("bias", torch.zeros(()))

    @classmethod
    def fit(
        cls,
        z: Float[Tensor, "n Z"],
        action: Float[Tensor, "n A"],
        reward: Float[Tensor, " n"],
        ridge: float = 1e-3,
    ) -> RidgeReward:
        """Solve for the weights.

        Args:
            z: states.
            action: what was done in them.
            reward: what that gave.
            ridge: λ, in units of the standardised inputs' variance.

        Raises:
            ForesightError: fewer than two steps, or a ridge that is not positive.
        """
        if len(z) < 2 or ridge <= 0:
            raise ForesightError(
                f"A ridge of {ridge} cannot be fitted to {len(z)} steps: give at least 2 steps and "
                "a ridge above 0."
            )
        x = torch.cat([z, action], dim=-1).double()
        found = cls(x.shape[1])
        mean, deviation = x.mean(0), x.std(0)
        scale = torch.where(deviation > 1e-8, 1 / deviation.clamp(min=1e-8), 0.0)
        x = (x - mean) * scale
        y = reward.double()
        covariance = x.T @ x / len(x) + ridge * torch.eye(x.shape[1], dtype=x.dtype)
        weight = torch.linalg.solve(covariance, x.T @ (y - y.mean()) / len(x))
        for name, value in (("mean", mean), ("scale", scale), ("weight", weight)):
            getattr(found, name).copy_(value)
        found.bias.copy_(y.mean())
        return found

    def forward(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch"]:
        """The predicted reward, in the dtype of ``z``."""
        x = torch.cat([z, action.to(z.dtype)], dim=-1).float()
        return ((x - self.mean) * self.scale @ self.weight + self.bias).to(z.dtype)


def train_reward(head: ScalarHead, latents: Latents, training: HeadTraining) -> list[Record]:
    """Learn the reward of every step from its state and action; squared error or two-hot.

    Args:
        head: trained in place.
        latents: with actions and rewards.
        training: length and speed.

    Returns:
        Records; ``validation`` is the squared error of held-out episodes.

    Raises:
        ForesightError: actions or rewards are missing.
    """
    if latents.actions is None or latents.rewards is None:
        raise ForesightError("A reward model needs actions and rewards and some are missing.")
    z, actions, rewards = latents.z, latents.actions, latents.rewards
    learn = episode_rows(latents.offsets, latents.train)
    held_out = episode_rows(latents.offsets, latents.validation)
    held_out = held_out[:: max(1, len(held_out) // MOST_STEPS)]

    def loss(generator: torch.Generator) -> Tensor:
        rows = learn[torch.randint(len(learn), (training.batch,), generator=generator)]
        return head.loss(z[rows], rewards[rows], actions[rows])

    def validate() -> float:
        guess = head(z[held_out], actions[held_out])
        return float((guess - rewards[held_out]).square().mean())

    return train_head(head, loss, validate, training)
