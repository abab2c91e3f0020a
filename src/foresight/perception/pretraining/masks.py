"""Multi-block spatio-temporal masks: which tokens the encoder sees, which it must predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.perception.pretraining.config import MASK_NAMES

ASPECT = (0.75, 1.5)
"""Height over width of a block, drawn log-uniformly (V-JEPA)."""

MARGIN = 0.8
"""Part of the tokens that blocks cover (or leave) on average that is hidden (or seen)."""
TRIES = 100
"""Draws of blocks before a clip gets single tokens instead."""


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

MASKS = dict(zip(MASK_NAMES, (SHORT, LONG, CLOSE, WIDE), strict=True))


def mask_sizes(mask: Mask, grid: tuple[int, int, int]) -> tuple[int, int]:
    """Numbers of seen and of hidden tokens, ``K`` and ``M``, that every clip gets.

    Fixed for a kind of mask and a grid, so that a batch has one shape and compiled code one size:
    a margin below what the blocks leave and cover on average.

    Raises:
        ForesightError: a grid of one token, of which nothing can be hidden and seen.
    """
    tokens = grid[0] * grid[1] * grid[2]
    if tokens < 2:
        raise ForesightError(
            f"A clip of {tokens} token cannot be masked: choose smaller patches or longer clips."
        )
    time = max(1, round(mask.time * grid[0])) / grid[0]
    covered = 1 - (1 - mask.space * time) ** mask.blocks
    return (
        max(1, int(MARGIN * (1 - covered) * tokens)),
        max(1, int(MARGIN * covered * tokens)),
    )


def draw_masks(
    mask: Mask, grid: tuple[int, int, int], batch: int, random: np.random.Generator
) -> tuple[Int[Tensor, "b k"], Int[Tensor, "b m"]]:
    """Indices of seen and of hidden tokens for every clip of a batch.

    Every clip has its own blocks; surplus tokens of either kind are left out at random. Where
    blocks last the whole clip, a place that is hidden in one tubelet is seen in none.

    Args:
        mask: the kind of blocks.
        grid: tubelets, rows and columns of tokens.
        batch: number of clips B.
        random: source of randomness.

    Returns:
        ``keep [B, K]`` and ``hidden [B, M]``, each sorted; K and M as `mask_sizes` says.
    """
    seen, unseen = mask_sizes(mask, grid)
    hidden = np.stack([_one(mask, grid, seen, unseen, random) for _ in range(batch)])
    return _choose(~hidden, seen, random), _choose(hidden, unseen, random)


def _one(
    mask: Mask, grid: tuple[int, int, int], seen: int, unseen: int, random: np.random.Generator
) -> np.ndarray:
    """One clip's hidden tokens, flat booleans: at least ``unseen``, leaving at least ``seen``."""
    tubelets, rows, columns = grid
    for _ in range(TRIES):
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
        count = int(hidden.sum())
        if count >= unseen and hidden.size - count >= seen:
            return hidden.ravel()
    # Tiny grids, where blocks hardly vary: single tokens instead.
    flat = np.zeros(hidden.size, bool)
    flat[random.permutation(hidden.size)[:unseen]] = True
    return flat


def _choose(members: np.ndarray, count: int, random: np.random.Generator) -> Int[Tensor, "b n"]:
    """``count`` members of each row, at random, in order."""
    keys = np.where(members, random.random(members.shape), 2.0)
    chosen = np.argpartition(keys, count - 1, axis=1)[:, :count]
    return torch.from_numpy(np.sort(chosen, axis=1))
