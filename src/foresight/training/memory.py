"""What an agent remembers of its own learning: the states of every finished round of episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.training.rounds import read_parts, round_files
from foresight.worldmodel.model import WorldModel

BLOCK = 4096


@dataclass(frozen=True)
class Memory:
    """Episodes of equal length, in the order in which they were lived.

    Attributes:
        z: latent states, as the model sees them now.
        actions: in [-1, 1].
        rewards: of each decision.
    """

    z: Float[Tensor, "n T1 Z"]
    actions: Float[Tensor, "n T A"]
    rewards: Float[Tensor, "n T"]


def recall(model: WorldModel, folder: Path | str) -> Memory:
    """Read ``rounds/*.safetensors`` of a folder that `Improvement` filled, one at a time.

    Raises:
        ForesightError: there are none, or one is damaged.
    """
    files = round_files(folder)
    if not files:
        raise ForesightError(
            f"{folder} holds no rounds of training episodes: point to a folder that "
            "`foresight learn` wrote, with its rounds."
        )
    parts = []
    for file in files:
        seen, actions, rewards = read_parts(file, "features", "actions", "rewards")
        parts.append((latents(model, seen), actions, rewards))
    return Memory(*(torch.cat(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def latents(model: WorldModel, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch Z"]:
    """Latent states of place numbers, on the CPU, a block at a time."""
    device = next(model.parameters()).device
    flat = features.reshape(-1, features.shape[-1])
    found = [model.encode(block.float().to(device)).cpu() for block in flat.split(BLOCK)]
    return torch.cat(found).view(*features.shape[:-1], -1)
