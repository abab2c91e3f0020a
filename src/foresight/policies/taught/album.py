"""Pictures of latent states, to look at imagined futures."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.policies.taught.space import Space


class Album:
    """Frames with their latent states; an imagined state is shown as the frame nearest to it.

    A frame that was really seen is crisp where a decoder's is blurred, needs no training, and
    cannot look better than the state it stands for: where imagination is wrong, it shows another
    pose. What it cannot show is anything that nobody has seen.

    Args:
        space: where distances are measured.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self.places: list[Float[Tensor, "n K"]] = []
        self.frames: list[UInt8[np.ndarray, "n H W 3"]] = []

    def add(self, z: Float[Tensor, "n Z"], frames: UInt8[np.ndarray, "n H W 3"]) -> None:
        """Keep frames and the states they were seen as.

        Raises:
            ForesightError: another number of them.
        """
        if len(z) != len(frames):
            raise ForesightError(
                f"{len(frames)} frames do not fit {len(z)} latent states: give one for each."
            )
        self.places.append(self.space(z))
        self.frames.append(frames)

    @torch.inference_mode()
    def nearest(self, z: Float[Tensor, " Z"]) -> UInt8[np.ndarray, "H W 3"]:
        """The frame whose state is nearest.

        Raises:
            ForesightError: the album is empty.
        """
        if not self.frames:
            raise ForesightError("The album is empty: add frames with their states first.")
        found: np.ndarray = self.frames[0][0]
        place, best = self.space(z), torch.inf
        for places, frames in zip(self.places, self.frames, strict=True):
            distance = (places - place).square().sum(-1)
            index = int(distance.argmin())
            if float(distance[index]) < best:
                best, found = float(distance[index]), frames[index]
        return found
