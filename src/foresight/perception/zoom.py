"""Zoom: the whole frame made small, and a part of it as sharp as it was rendered.

For tasks whose objects are smaller than a token. Frames come ``factor`` times as large as the
encoder's; it looks twice, at their area average and at a fixed window of its own size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class Zoom:
    """A second look at a part of the frame, the same part at every step.

    Attributes:
        x: centre of the part as a share of the frame's width, from the left.
        y: centre as a share of its height, from the top.
        factor: how many times larger than the encoder's the frames are.
    """

    x: float = 0.5
    y: float = 0.5
    factor: int = 2

    def __post_init__(self) -> None:
        for axis, value in (("x", self.x), ("y", self.y)):
            if not 0 <= value <= 1:
                raise ForesightError(
                    f"A zoom centre of {axis} = {value} is outside of the frame: choose a share "
                    "from 0 to 1."
                )
        if not 2 <= self.factor <= 16:
            raise ForesightError(
                f"A zoom factor of {self.factor} is refused: choose a whole number from 2 to 16."
            )

    def views(self, frames: UInt8[Tensor, "t H W 3"], size: int) -> UInt8[Tensor, "2 t h w 3"]:
        """Whole and part, both ``size`` pixels wide; each frame on its own.

        Args:
            frames: uint8 ``[T, factor·size, factor·size, 3]``.
            size: the encoder's frame size in pixels.

        Raises:
            ForesightError: frames of another size or dtype.
        """
        full = self.factor * size
        if frames.dtype != torch.uint8:
            raise ForesightError(
                f"Frames of dtype {frames.dtype} cannot be encoded: expected uint8 RGB from 0 to "
                "255."
            )
        if frames.ndim != 4 or tuple(frames.shape[1:]) != (full, full, 3):
            shape = "x".join(str(n) for n in frames.shape[1:3])
            raise ForesightError(
                f"Frames of {shape} pixels do not fit a zoom of {self.factor} on an encoder of "
                f"{size}x{size}: render them at {full}x{full}, a whole multiple, or leave the zoom "
                "out."
            )
        row, column = (_corner(centre, size, full) for centre in (self.y, self.x))
        part = frames[:, row : row + size, column : column + size]
        return torch.stack([area_average(frames, self.factor), part])


def area_average(
    frames: UInt8[Tensor, "t H W 3"], factor: int
) -> UInt8[Tensor, "t H/factor W/factor 3"]:
    """Mean over squares of ``factor`` × ``factor`` pixels, rounded half up in whole numbers."""
    time, height, width, channels = frames.shape
    squares = frames.view(time, height // factor, factor, width // factor, factor, channels)
    # Slice by slice: a sum over two inner axes at once is several times slower.
    total = torch.full(squares[:, :, 0, :, 0].shape, factor**2 // 2, dtype=torch.int32)
    total = total.to(frames.device)
    for row in range(factor):
        for column in range(factor):
            total += squares[:, :, row, :, column]
    return (total // factor**2).to(torch.uint8)


def _corner(centre: float, size: int, full: int) -> int:
    """First pixel of a part of ``size`` pixels around ``centre``, kept inside the frame."""
    return min(max(round(centre * full - size / 2), 0), full - size)
