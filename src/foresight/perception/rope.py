"""V-JEPA 2's rotary position embedding over tubelet, row and column."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

BASE = 10000.0


def rotary_tables(
    positions: Int[Tensor, "n 3"], head_dim: int
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
    """Cosines and sines ``[N, head_dim]`` (fp64) of tokens at ``positions`` (tubelet, row, column).

    A third of a head turns with the tubelet, a third with the row, a third with the column (each
    rounded down to an even number of channels), the remainder not at all. Channels are turned in
    neighbouring pairs (0 1)(2 3)…, but V-JEPA 2 repeats an axis's angles as a tile (0 1 2 … 0 1 2
    …) where pairs would ask for (0 0 1 1 2 2 …). That is no true rotation; the published weights
    were trained with it, so it is part of the model.

    Source: V-JEPA 2 (arXiv 2506.09985), its released code.
    """
    width = 2 * ((head_dim // 3) // 2)
    exponents = torch.arange(width // 2, dtype=torch.float64, device=positions.device)
    frequencies = BASE ** -(exponents / (width / 2))
    angles = [axis.double()[:, None] * frequencies.repeat(2) for axis in positions.unbind(1)]
    still = positions.new_zeros(len(positions), head_dim - 3 * width).double()
    angle = torch.cat([*angles, still], dim=1)
    return angle.cos(), angle.sin()


def grid_positions(tubelets: int, height: int, width: int) -> Int[Tensor, "n 3"]:
    """Positions of a whole grid's tokens, ordered tubelet, row, column."""
    axes = (torch.arange(tubelets), torch.arange(height), torch.arange(width))
    return torch.stack([axis.flatten() for axis in torch.meshgrid(*axes, indexing="ij")], dim=1)


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
