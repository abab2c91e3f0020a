"""The blocks of a frozen encoder, run by the compiled functions."""

from __future__ import annotations

import ctypes
from typing import cast

import torch
from jaxtyping import BFloat16, Float
from torch import Tensor
from torch.nn import functional

from foresight.errors import ForesightError
from foresight.perception.native.library import library
from foresight.perception.vit import Block, VisionTransformer, VitConfig

HEAD = 64
"""Channels of a head that the functions know; ViT-H has 80."""
SIDE = 32
"""Rows and columns of the blocks that they multiply."""
INNER = 1024
"""Hidden channels at most that are made and used at once, so that they stay in a core's cache."""
SHARED = 2e10
"""Operations from which on a call is shared by threads: below, they cost more than they do."""


class Sizes(ctypes.Structure):
    """An encoder's sizes as the functions want them."""

    _fields_ = (
        ("dim", ctypes.c_int32),
        ("depth", ctypes.c_int32),
        ("heads", ctypes.c_int32),
        ("hidden", ctypes.c_int32),
        ("inner", ctypes.c_int32),
        ("eps", ctypes.c_float),
    )


def can_run(config: VitConfig, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether `NativeBlocks` can be made here for this encoder; compiles at the first call."""
    fits = config.head_dim == HEAD and config.hidden % SIDE == 0 and device.type == "cpu"
    return fits and dtype == torch.bfloat16 and library() is not None


class NativeBlocks:
    """All blocks and the final norm, products in bfloat16 on an fp32 residual stream.

    Each token's numbers are the same in every company and by any number of threads.

    Args:
        encoder: the reference module in fp32; its blocks are taken over and emptied one by one, so
            that large models are not held twice.
    """

    def __init__(self, encoder: VisionTransformer) -> None:
        found = library()
        assert found is not None, "ask can_run() first"
        config = encoder.config
        self._functions = found
        self._encoder = encoder  # its tables
        inner = max(n for n in range(SIDE, INNER + 1, SIDE) if config.hidden % n == 0)
        self._sizes = Sizes(
            config.dim, config.depth, config.heads, config.hidden, inner, config.eps
        )
        self._flops = config.depth * config.dim * (8 * config.dim + 4 * config.hidden)
        weights: list[Tensor] = []
        for index in range(len(encoder.blocks)):
            weights += _layer(cast(Block, encoder.blocks[index]), inner)
            encoder.blocks[index] = torch.nn.Identity()
        weights += [encoder.norm.weight, encoder.norm.bias]
        self._weights = [weight.detach().contiguous() for weight in weights]
        places = [weight.data_ptr() for weight in self._weights]
        self._places = (ctypes.c_void_p * len(places))(*places)
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}

    def __call__(self, x: Float[Tensor, "b n d"], tubelets: int) -> Float[Tensor, "b n d"]:
        """Tokens after the final norm, in fp32.

        Args:
            x: embedded patches in fp32, ordered tubelet, row, column.
            tubelets: of each clip.

        Raises:
            ForesightError: not enough memory.
        """
        x = x.contiguous()
        assert x.dtype == torch.float32, x.dtype
        clips, tokens, _ = x.shape
        out = torch.empty_like(x)
        cos, sin = self._rotary(tubelets)
        shared = self._flops * clips * tokens > SHARED
        failed = self._functions.foresight_blocks(
            ctypes.byref(self._sizes),
            self._places,
            *(tensor.data_ptr() for tensor in (x, out, cos, sin)),
            *(clips, tokens, torch.get_num_threads() if shared else 1),
        )
        if failed:
            raise ForesightError(
                f"There is not enough memory to encode {clips} clips of {tokens} tokens: encode "
                "fewer at once."
            )
        return out

    def _rotary(self, tubelets: int) -> tuple[Tensor, Tensor]:
        """Tables filled up to whole blocks, the sine with the sign that swapping pairs needs."""
        if tubelets not in self._tables:
            grid = self._encoder.config.grid
            cos, sin = self._encoder.tables(tubelets, *grid, torch.device("cpu"))
            signs = torch.tensor([-1.0, 1.0]).repeat(HEAD // 2)
            rows = (0, 0, 0, -len(cos) % SIDE)
            self._tables[tubelets] = (functional.pad(cos, rows), functional.pad(sin * signs, rows))
        return self._tables[tubelets]


def _layer(block: Block, inner: int) -> list[Tensor]:
    """A block's weights in the order of ``Layer`` in encoder.cpp."""
    attention, mlp = block.attn, block.mlp
    qkv = attention.qkv
    bias = torch.zeros(len(qkv.weight)) if qkv.bias is None else qkv.bias
    return [
        *(block.norm1.weight, block.norm1.bias),
        *(packed(qkv.weight), bias),
        *(packed(attention.proj.weight), attention.proj.bias),
        *(block.norm2.weight, block.norm2.bias),
        *(packed(mlp.fc1.weight), mlp.fc1.bias),
        *(packed(mlp.fc2.weight, inner), mlp.fc2.bias),
    ]


def packed(
    weight: Float[Tensor, "out in"], inner: int | None = None
) -> BFloat16[Tensor, "parts columns steps 2 16 16 2"]:
    """Weights as a right operand of tiles.hpp.

    Args:
        weight: of a linear map.
        inner: inputs of a part; parts are multiplied one after the other. None takes all at once.
    """
    outputs, inputs = weight.shape
    inner = inner or inputs
    split = weight.detach().to(torch.bfloat16).view(
        outputs // SIDE, 2, 16, inputs // inner, inner // SIDE, 16, 2
    )
    return split.permute(3, 0, 4, 1, 5, 2, 6).contiguous()
