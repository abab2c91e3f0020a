"""Multi-block spatio-temporal masks: which tokens the encoder sees, which it must predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from foresight.errors import ForesightError

ASPECT = (0.75, 1.5)
"""Height over width of a block, drawn log-uniformly (V-JEPA)."""


@dataclass(frozen=True)
class Mask:
    """Random blocks; what their union covers is hidden.

    Attributes:
        blocks: number of blocks for each clip.
        space: part of the picture's area that one block covers.
        time: part of the clip's tubelets that one block lasts; 1 hides a place throughout, less
            makes its content predictable from other times.
    """

    blocks: int
    space: float
    time: float = 1.0

    def __post_init__(self) -> None:
        if self.blocks < 1 or not 0 < self.space <= 1 or not 0 < self.time <= 1:
            raise ForesightError(
                f"A mask of {self.blocks} blocks over {self.space} of space and {self.time} of "
                "time is not possible: choose at least one block and parts above 0, up to 1."
            )


SHORT = Mask(blocks=8, space=0.15)
LONG = Mask(blocks=2, space=0.7)
"""V-JEPA 2's two kinds: many small blocks and few large ones, both over the whole time."""

CLOSE = Mask(blocks=8, space=0.15, time=0.5)
WIDE = Mask(blocks=2, space=0.7, time=0.5)
"""The same in half of the time: a small thing hidden now can be known from before or after."""

MASKS = {"short": SHORT, "long": LONG, "close": CLOSE, "wide": WIDE}


def named_masks(names: Sequence[str]) -> list[Mask]:
    """Masks by name.

    Raises:
        ForesightError: an unknown name, or none.
    """
    if not names:
        raise ForesightError(f"No mask was named: choose from {', '.join(MASKS)}.")
    for name in names:
        if name not in MASKS:
            raise ForesightError(f"Unknown mask {name!r}: choose from {', '.join(MASKS)}.")
    return [MASKS[name] for name in names]


def draw_masks(
    mask: Mask, grid: tuple[int, int, int], batch: int, random: np.random.Generator
) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """Indices of seen and of hidden tokens for every clip of a batch.

    Every clip has its own blocks. As a batch needs equal lengths, surplus tokens of either kind
    are left out at random. A clip keeps at least one token on both sides.

    Args:
        mask: the kind of blocks.
        grid: tubelets, rows and columns of tokens.
        batch: number of clips B.
        random: source of randomness.

    Returns:
        ``keep [B, K]`` and ``hidden [B, M]``, each sorted.
    """
    hidden = np.stack([_one(mask, grid, random) for _ in range(batch)])
    most = int(hidden.sum(1).min())
    fewest_seen = int((~hidden).sum(1).min())
    return _choose(~hidden, fewest_seen, random), _choose(hidden, most, random)


def _one(mask: Mask, grid: tuple[int, int, int], random: np.random.Generator) -> np.ndarray:
    """One clip's hidden tokens, flat booleans; never all, never none."""
    tubelets, rows, columns = grid
    while True:
        hidden = np.zeros(grid, bool)
        for _ in range(mask.blocks):
            aspect = np.exp(random.uniform(*np.log(ASPECT)))
            area = mask.space * rows * columns
            height = int(np.clip(round((area * aspect) ** 0.5), 1, rows))
            width = int(np.clip(round((area / aspect) ** 0.5), 1, columns))
            last = max(1, round(mask.time * tubelets))
            t = random.integers(tubelets - last + 1)
            i, j = random.integers(rows - height + 1), random.integers(columns - width + 1)
            hidden[t : t + last, i : i + height, j : j + width] = True
        if not hidden.all():
            return hidden.ravel()


def _choose(members: np.ndarray, count: int, random: np.random.Generator) -> Int[Tensor, "b n"]:
    """``count`` members of each row, at random, in order."""
    keys = np.where(members, random.random(members.shape), 2.0)
    chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
    return torch.from_numpy(np.sort(chosen, axis=1))
