"""The learned part of a state encoder: one small network at every patch, then one over all."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

PATCH_WIDTH, PATCH_NUMBERS = 64, 16
"""Hidden units and outputs of the adapter at each patch."""


class Adapter(nn.Module):
    """Patch numbers of a few steps to Z logits: the same small network at every patch, then one.

    What a patch shows and how it changes is read by weights that all patches share, so a goal seen
    at one patch is known at the others; one layer over all patches alone learns them one by one.

    Args:
        patches: P, of all cameras together.
        numbers: C, of a patch.
        history: steps.
        proprio: numbers of the robot that are joined, of one step.
        hidden: width.
        latent: Z.
        normed: normalise the logits.
    """

    def __init__(
        self,
        patches: int,
        numbers: int,
        history: int,
        proprio: int,
        hidden: int,
        latent: int,
        normed: bool = False,
    ) -> None:
        super().__init__()
        self.patches = patches
        self.shared = nn.Linear(history * numbers, PATCH_WIDTH)
        self.place = nn.Parameter(torch.zeros(patches, PATCH_WIDTH))
        self.narrow = nn.Linear(PATCH_WIDTH, PATCH_NUMBERS)
        self.norm = nn.LayerNorm(patches * PATCH_NUMBERS)
        self.all = nn.Sequential(
            nn.Linear(patches * PATCH_NUMBERS + history * proprio, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, latent),
        )
        if normed:
            self.all.append(nn.LayerNorm(latent))

    def forward(
        self, pictures: Float[Tensor, "*batch history f"], own: Float[Tensor, "*batch s"]
    ) -> Float[Tensor, "*batch Z"]:
        """Logits.

        Args:
            pictures: patch numbers, the oldest step first.
            own: normalised proprioception of all steps; s may be 0.
        """
        # Newest first, so that a patch's present stands in the same columns whatever the history.
        steps = pictures.unflatten(-1, (self.patches, -1)).unbind(-3)
        beside = torch.cat(steps[::-1], dim=-1)
        read = self.narrow(torch.relu(self.shared(beside) + self.place)).flatten(-2)
        known = self.norm(read)
        return self.all(torch.cat([known, own.to(known)], dim=-1) if own.shape[-1] else known)
