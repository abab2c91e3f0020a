"""V-JEPA 2's rotary position embedding over tubelet, row and column."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

BASE = 10000.0
REFERENCE_GRID = 16
"""Rows and columns at 256 pixels, where V-JEPA 2.1's positions are the grid's own numbers."""


def rotary_tables(
    positions: Int[Tensor, "n 3"] | Float[Tensor, "n 3"], head_dim: int, pairs: bool = False
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Cosines and sines ``[N, head_dim]`` (fp64) of tokens at ``positions`` (tubelet, row, column).

    A third of a head turns with the tubelet, a third with the row, a third with the column (each
    rounded down to an even number of channels), the remainder not at all. Channels are turned in
    neighbouring pairs (0 1)(2 3)…, but V-JEPA 2 repeats an axis's angles as a tile (0 1 2 … 0 1 2
    …) where pairs would ask for (0 0 1 1 2 2 …). That is no true rotation; the published weights
    were trained with it, so it is part of the model. V-JEPA 2.1 turns ``pairs`` truly.

    Source: V-JEPA 2 (arXiv 2506.09985) and V-JEPA 2.1 (arXiv 2603.14482), their released code.
    """
    width = 2 * ((head_dim // 3) // 2)
    exponents = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    frequencies = BASE ** -(exponents / (width / 2))
    frequencies = frequencies.repeat_interleave(2) if pairs else frequencies.repeat(2)
    angles = [axis.double()[:, None] * frequencies for axis in positions.unbind(1)]
    still = angles[0].new_zeros(len(positions), head_dim - 3 * width)
    angle = torch.cat([*angles, still], dim=1)
    return angle.cos(), angle.sin()


def grid_positions(tubelets: int, height: int, width: int) -> Int[Tensor, "n 3"]:
    """Positions of a whole grid's tokens, ordered tubelet, row, column."""
    axes = (torch.arange(tubelets), torch.arange(height), torch.arange(width))
    return torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")], dim=1)


def scaled_positions(tubelets: int, height: int, width: int) -> Float[Tensor, "n 3"]:
    """The same in fp64 as V-JEPA 2.1 scales them: rows and columns of any grid run from 0 to 15.

    Tubelets are counted. The one row or column of a grid stays at 0, where Meta's code divides by
    zero.
    """
    ends = torch.tensor([tubelets, height, width], dtype=torch.float64) - 1
    factors = (REFERENCE_GRID - 1) / ends.clamp(min=1)
    factors[0] = 1.0
    return grid_positions(tubelets, height, width) * factors


def pair_swap(head_dim: int) -> Float[Tensor, "k k"]:
    """The matrix that takes a row of channels (x0, x1, x2, x3, …) to (-x1, x0, -x3, x2, …)."""
    swap = torch.zeros(head_dim, head_dim)
    even = torch.arange(0, head_dim, 2)
    swap[even + 1, even] = -1.0
    swap[even, even + 1] = 1.0
    return swap


def rotate(
    x: Float[Tensor, "... n k"],
    cos: Float[Tensor, "... n k"],
    sin: Float[Tensor, "... n k"],
    swap: Float[Tensor, "k k"],
) -> Float[Tensor, "... n k"]:
    """Queries or keys turned by their tokens' angles.

    The swap of neighbouring channels is a product with a fixed matrix: one fast kernel, forward
    and backward, where slicing and stacking take six slow ones. It is exact in any dtype.
    """
    return x * cos + (x @ swap) * sin
