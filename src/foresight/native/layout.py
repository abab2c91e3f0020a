"""Weights in the order in which the tile unit reads them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor

SIDE = 32
"""Rows and columns of the blocks that are multiplied."""


def packed(
    weight: Float[Tensor, "out in"], inner: int | None = None
) -> BFloat16[Tensor, "parts columns steps 2 16 16 2"]:
    """A linear map's weights as a right operand of tiles.hpp, both sizes multiples of `SIDE`.

    Args:
        weight: of a linear map.
        inner: inputs of a part; parts are multiplied one after the other. None takes all at once.
    """
    outputs, inputs = weight.shape
    inner = inner or inputs
    split = (
        weight.detach()
        .to(torch.bfloat16)
        .view(outputs // SIDE, 2, 16, inputs // inner, inner // SIDE, 16, 2)
    )
    return split.permute(3, 0, 4, 1, 5, 2, 6).contiguous()


def addresses(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    """Where the tensors' numbers are, which have to be kept as long as this is used."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))
