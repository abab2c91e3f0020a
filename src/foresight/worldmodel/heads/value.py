"""A terminal value learned from recorded episodes by TD(λ) with a slow target."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.windows import window_starts
from foresight.worldmodel.heads.scalar import ScalarHead, td_lambda
from foresight.worldmodel.heads.training import HeadTraining, Latents, Record, train_head


def train_value(
    head: ScalarHead,
    latents: Latents,
    config: HeadTraining,
    discount: float = 0.99,
    lam: float = 0.95,
    window: int = 10,
    slow: float = 0.98,
) -> list[Record]:
    """Learn the value of the behaviour that recorded the episodes.

    Targets are `td_lambda` over windows of ``window`` steps, with values by an exponentially slow
    copy of the head. Episodes are taken as cut off, not terminated: the last value stands for what
    would have followed.

    Args:
        head: ``V(z)``, trained in place.
        latents: with rewards.
        config: length and speed; ``batch`` counts states.
        discount: γ per step.
        lam: λ.
        window: steps of a target; episodes must be longer.
        slow: share that the copy keeps of itself in every update.

    Returns:
        Records; ``validation`` is the squared error to the targets in held-out episodes.

    Raises:
        ForesightError: rewards are missing, or no episode is longer than the window.
    """
    if latents.rewards is None:
        raise ForesightError("A value is learned from rewards and there are none: give them.")
    rewards, target_head = latents.rewards, copy.deepcopy(head).requires_grad_(False)
    steps = torch.arange(window + 1)
    starts = {
        name: torch.from_numpy(window_starts(latents.offsets, episodes, window + 1))
        for name, episodes in (("train", latents.train), ("validation", latents.validation))
    }
    if min(len(found) for found in starts.values()) == 0:
        raise ForesightError(
            f"No episode to learn from or to check on is longer than the window of {window} steps: "
            "shorten it or collect longer episodes."
        )

    def targets(rows: Tensor) -> tuple[Tensor, Tensor]:
        z = latents.z[rows[:, None] + steps]
        with torch.no_grad():
            values = target_head(z)
            reward = rewards[rows[:, None] + steps[:-1]].expand(*values.shape[:-1], window)
            return z[:, :-1], td_lambda(reward, values, discount, lam)

    def loss(generator: torch.Generator) -> Tensor:
        count = max(1, config.batch // window)
        chosen = torch.randint(len(starts["train"]), (count,), generator=generator)
        return head.loss(*targets(starts["train"][chosen]))

    def follow() -> None:
        with torch.no_grad():
            for old, new in zip(target_head.parameters(), head.parameters(), strict=True):
                old.lerp_(new, 1 - slow)

    every = max(1, len(starts["validation"]) // 1024)

    def validate() -> float:
        z, wanted = targets(starts["validation"][::every])
        return float((head(z) - wanted).square().mean())

    return train_head(head, loss, validate, config, follow, keep="last")
