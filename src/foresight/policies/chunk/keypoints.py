"""Where in a picture something is: points by spatial softmax instead of a token for each patch."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError


class Keypoints(nn.Module):
    """Points of a picture, put into a few tokens.

    Two small convolutions describe each patch by what it and its neighbours show. Each point has a
    weight for every patch, a softmax over them, and is where the patches are on average; a linear
    reading of what it sees there moves it within a patch. All patches share these readings, so that
    few demonstrations teach to find a thing anywhere, where residual layers over patches have to
    learn it place by place.

    Sources: Levine et al. 2016 and Finn et al. 2016 (spatial softmax).

    Args:
        patches: P, a square number.
        dim: D, of a patch.
        points: K.
        width: W, of a token.
        channels: of the convolutions; 0 takes the patches as they are.

    Raises:
        ForesightError: the patches are no square.
    """

    place: Float[Tensor, "P 2"]

    def __init__(self, patches: int, dim: int, points: int, width: int, channels: int = 0) -> None:
        super().__init__()
        side = math.isqrt(patches)
        if side * side != patches:
            raise ForesightError(
                f"Points need a square of patches, and there are {patches}: choose a readout of "
                "one moment such as tubelet:grid=8, or keypoints=0."
            )
        axis = (torch.arange(side) + 0.5) * 2 / side - 1
        grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        self.register_buffer("place", grid.reshape(patches, 2), persistent=False)
        self.width, self.side, self.patch = width, side, 2 / side
        self.local = convolutions(dim, channels) if channels else None
        dim = channels or dim
        self.count = count_tokens(points, width)
        self.score = nn.Linear(dim, points)
        self.move = nn.Parameter(torch.zeros(2, points, dim))
        self.out = nn.Linear(2 * points, self.count * width)

    def points(self, patches: Float[Tensor, "B P D"]) -> Float[Tensor, "B K 2"]:
        """Where each point is: x to the right and y down, both from -1 to 1."""
        if self.local is not None:
            picture = patches.mT.reshape(len(patches), -1, self.side, self.side)
            patches = self.local(picture.contiguous(memory_format=torch.channels_last))
            patches = patches.flatten(2).mT
        weight = self.score(patches).softmax(1).mT
        seen = (weight @ patches).float()
        with torch.autocast(patches.device.type, enabled=False):  # places need all their digits
            moved = torch.stack([(seen * move).sum(-1) for move in self.move], -1)
            found: Tensor = weight.float() @ self.place.float() + self.patch * moved
        return found

    def forward(self, patches: Float[Tensor, "B P D"]) -> Float[Tensor, "B M W"]:
        """The points as tokens."""
        points = self.points(patches).flatten(1)
        with torch.autocast(patches.device.type, enabled=False):
            found: Tensor = self.out(points)
        return found.view(len(patches), self.count, self.width)


def convolutions(dim: int, channels: int) -> nn.Sequential:
    """Each patch on its own, and then with its eight neighbours."""
    return nn.Sequential(
        nn.Conv2d(dim, channels, 1),
        nn.GELU(),
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.GELU(),
    )


def count_tokens(points: int, width: int) -> int:
    """M: tokens that hold as many numbers as the points have."""
    return -(-2 * points // width)
