"""Pictures of any camera to what a V-JEPA 2 encoder was trained on.

Two steps, each in one place: `PicturePreparation` brings bytes of any size and shape to the
encoder's square, the same for cached and for live pictures; `normalise` turns bytes into numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Fit = Literal["squash", "crop", "pad"]
DEFAULT_FIT: Fit = "squash"
AS_THEY_ARE = "as they are"
# A triangle as wide as an output pixel, so that nothing is skipped when a picture gets smaller.
FILTER = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class PicturePreparation:
    """How pictures become the encoder's squares; each on its own, so that batches change nothing.

    Pictures that have the size already stay as they are, whatever the rule.

    Attributes:
        size: side of the square in pixels.
        fit: what is done about another shape. ``squash`` shows everything to every token and
            changes proportions, for all pictures of a camera alike; ``crop`` keeps the middle
            square and the proportions; ``pad`` keeps everything and the proportions, between black
            bars that use up tokens.
    """

    size: int
    fit: Fit = DEFAULT_FIT

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise ForesightError(
                f"Unknown fit {self.fit!r}: choose one of {', '.join(get_args(Fit))}."
            )

    def __call__(self, frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t s s 3"]:
        """Prepared pictures, uint8 ``[T, size, size, 3]``; those that fit are not copied.

        Raises:
            ForesightError: no uint8 RGB pictures.
        """
        check_pictures(frames)
        if frames.shape[1:3] == (self.size, self.size):
            return frames
        out = np.zeros((len(frames), self.size, self.size, 3), np.uint8)
        for index, frame in enumerate(frames):
            self._into(out[index], np.ascontiguousarray(frame))
        return out

    def rule(self, height: int, width: int) -> str:
        """What happens to pictures of a size, in words: ``480x640 squash to 64x64``."""
        if (height, width) == (self.size, self.size):
            return AS_THEY_ARE
        return f"{height}x{width} {self.fit} to {self.size}x{self.size}"

    def fingerprint(self, height: int, width: int) -> str:
        """Hash of what happens to pictures of a size; one value where nothing does."""
        rule = self.rule(height, width)
        return fingerprint(rule if rule == AS_THEY_ARE else [rule, "triangle filter"])

    def _into(self, out: UInt8[np.ndarray, "s s 3"], frame: UInt8[np.ndarray, "h w 3"]) -> None:
        height, width = frame.shape[:2]
        picture, size = Image.fromarray(frame), self.size
        if self.fit == "squash":
            out[:] = picture.resize((size, size), FILTER)
        elif self.fit == "crop":
            side = min(height, width)
            left, top = (width - side) // 2, (height - side) // 2
            box = (left, top, left + side, top + side)
            out[:] = picture.resize((size, size), FILTER, box=box)
        else:
            scale = size / max(height, width)
            rows, columns = (max(1, round(scale * n)) for n in (height, width))
            top, left = (size - rows) // 2, (size - columns) // 2
            small = picture.resize((columns, rows), FILTER)
            out[top : top + rows, left : left + columns] = small


@dataclass(frozen=True)
class Shift:
    """A random shift for each episode, to learn from pictures that are never quite the same.

    Pictures move by whole pixels of the encoder's square; what comes in repeats the border. One
    shift holds for a whole episode, so that what moves is the scene and not the camera.

    Attributes:
        pixels: farthest shift to any side.
        seed: another seed is another copy of the dataset.
    """

    pixels: int
    seed: int

    def __call__(
        self, frames: UInt8[np.ndarray, "t s s 3"], episode: int
    ) -> UInt8[np.ndarray, "t s s 3"]:
        """Prepared pictures of an episode, moved."""
        most = self.pixels
        down, right = np.random.default_rng([self.seed, episode]).integers(-most, most + 1, 2)
        return np.ascontiguousarray(moved(frames, down, right))


def moved(
    frames: UInt8[np.ndarray, "*n H W 3"], down: int, right: int
) -> UInt8[np.ndarray, "*n H W 3"]:
    """Pictures moved by whole pixels; their border fills what comes into view."""
    height, width = frames.shape[-3:-1]
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return frames[..., rows[:, None], columns, :]


def check_pictures(frames: UInt8[np.ndarray, "t h w 3"]) -> None:
    """Refuse what is no array of pictures.

    Raises:
        ForesightError: another dtype or shape.
    """
    if frames.dtype != np.uint8:
        raise ForesightError(
            f"Frames of dtype {frames.dtype} cannot be encoded: expected uint8 RGB from 0 to 255."
        )
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape[1:]:
        raise ForesightError(
            f"Frames of shape {frames.shape} cannot be encoded: expected [time, height, width, 3]."
        )


def normalise(frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b t 3 h w"]:
    """Bytes to ImageNet-normalised fp32, channels before rows."""
    mean = torch.tensor(IMAGENET_MEAN, device=frames.device) * 255.0
    std = torch.tensor(IMAGENET_STD, device=frames.device) * 255.0
    return ((frames.float() - mean) / std).permute(0, 1, 4, 2, 3)
