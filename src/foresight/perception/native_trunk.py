"""The frozen encoder in C++ (`foresight.native`)."""

from __future__ import annotations

import ctypes
import math
from typing import cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.native import SIDE, addresses, library, packed
from foresight.perception.vit import Block, VisionTransformer, VitConfig
from foresight.perception.vit21 import VisionTransformer21

INNER = 1024
"""Hidden channels at most that are made and used at once, so that they stay in a core's cache."""
SHARED = 2e9
"""Operations from which on a call is shared by threads; starting them costs some 50 µs."""


class Sizes(ctypes.Structure):
    """An encoder's sizes as the functions want them."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("dim", "depth", "heads", "head", "hidden", "inner")),
        *((name, ctypes.c_int32) for name in ("height", "width", "patch", "tubelet")),
        ("eps", ctypes.c_float),
        ("sharpness", ctypes.c_float),
    )


def can_run(config: VitConfig, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether `NativeTrunk` can be made here for this encoder; compiles at the first call."""
    fits = config.dim % SIDE == 0 and config.hidden % SIDE == 0 and config.head_dim % 2 == 0
    here = dtype == torch.bfloat16 and device.type == "cpu"
    return fits and here and library() is not None


class NativeTrunk:
    """Patch embedding, blocks and the final norm, products in bfloat16 on an fp32 residual stream.

    Each token's numbers are the same in every company and by any number of threads.

    Args:
        encoder: the reference module in fp32; its blocks are taken over and emptied one by one, so
            that large models are not held twice.
        embedding: weights ``[D, P]`` (a patch's bytes ordered frame, row, column, channel) and bias
            ``[D]`` of the patch embedding, for bytes from which 128 is subtracted.
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        embedding: tuple[Float[Tensor, "d p"], Float[Tensor, " d"]],
    ) -> None:
        found = library()
        assert found is not None, "ask can_run() first"
        config = encoder.config
        self._functions = found
        self._encoder = encoder  # its tables
        inner = max(n for n in range(SIDE, INNER + 1, SIDE) if config.hidden % n == 0)
        self._sizes = Sizes(
            *(config.dim, config.depth, config.heads, config.head_dim, config.hidden, inner),
            *(config.height, config.width, config.patch, config.tubelet, config.eps),
            math.log2(math.e) / math.sqrt(config.head_dim),
        )
        self._flops = 2 * config.depth * config.dim * (4 * config.dim + 2 * config.hidden)
        kernel = functional.pad(embedding[0], (0, -embedding[0].shape[1] % SIDE))
        rest = kernel - kernel.to(torch.bfloat16).float()
        weights: list[Tensor] = [*encoder.last_norm.parameters()]
        weights += [packed(kernel), packed(rest), embedding[1]]
        for index in range(len(encoder.blocks)):
            weights += _layer(cast(Block, encoder.blocks[index]), inner)
            encoder.blocks[index] = torch.nn.Identity()
        self._weights = [weight.detach().contiguous() for weight in weights]
        self._addresses = addresses(self._weights)
        self._ends = {config.depth - 1: (self._sizes, self._addresses)}
        if isinstance(encoder, VisionTransformer21):
            for norm, block in zip(encoder.norms_block, encoder.config.levels, strict=True):
                self._ends[block] = self._up_to(block + 1, [*norm.parameters()])
        self._tables: dict[int, tuple[Tensor, Tensor]] = {}

    def encode(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b n d"]:
        """Tokens in fp32 of bytes, ordered tubelet-major, then row, then column.

        Raises:
            ForesightError: not enough memory.
        """
        rows, columns = self._encoder.config.grid
        tubelets = frames.shape[1] // self._encoder.config.tubelet
        return self._run(frames.contiguous(), tubelets * rows * columns, tubelets)

    def blocks(
        self, x: Float[Tensor, "b n d"], tubelets: int, end: int | None = None
    ) -> Float[Tensor, "b n d"]:
        """The same for patches that are embedded already, in fp32.

        Args:
            x: of the encoder's own grid.
            tubelets: of a clip.
            end: the last block to run: one of V-JEPA 2.1's levels, or None for all.

        Raises:
            ForesightError: not enough memory.
        """
        return self._run(x.contiguous(), x.shape[1], tubelets, end)

    def _up_to(self, depth: int, norm: list[Tensor]) -> tuple[Sizes, ctypes.Array]:
        """The first blocks alone, with a norm of their own behind them."""
        sizes = Sizes.from_buffer_copy(self._sizes)
        sizes.depth = depth
        norm = [weight.detach().contiguous() for weight in norm]
        self._weights += norm
        return sizes, addresses([*norm, *self._weights[2 : len(self._addresses)]])

    def _run(self, given: Tensor, tokens: int, tubelets: int, end: int | None = None) -> Tensor:
        clips = len(given)
        out = torch.empty(clips, tokens, self._encoder.config.dim)
        cos, sin = self._rotary(tubelets)
        frames = given.data_ptr() if given.dtype == torch.uint8 else None
        embedded = given.data_ptr() if given.dtype == torch.float32 else None
        shared = self._flops * clips * tokens > SHARED
        sizes, weights = self._ends[self._encoder.config.depth - 1 if end is None else end]
        failed = self._functions.foresight_encode(
            ctypes.byref(sizes),
            weights,
            *(cos.data_ptr(), sin.data_ptr(), frames, embedded, out.data_ptr()),
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
            config = self._encoder.config
            cos, sin = self._encoder.tables(tubelets, *config.grid, torch.device("cpu"))
            signs = torch.tensor([-1.0, 1.0]).repeat(config.head_dim // 2)
            room = (0, -config.head_dim % SIDE, 0, -len(cos) % SIDE)
            self._tables[tubelets] = (functional.pad(cos, room), functional.pad(sin * signs, room))
        return self._tables[tubelets]


def _layer(block: Block, inner: int) -> list[Tensor]:
    """A block's weights in the order of ``Layer`` in memory.hpp, heads filled up to whole blocks.

    What fills them up is 0, and adds nothing to scores or to what is mixed.
    """
    attention, mlp = block.attn, block.mlp
    qkv, proj = attention.qkv, attention.proj.weight.detach()
    bias = torch.zeros(len(qkv.weight)) if qkv.bias is None else qkv.bias.detach()
    head = proj.shape[1] // attention.heads
    missing = -head % SIDE
    rows = functional.pad(qkv.weight.detach().unflatten(0, (-1, head)), (0, 0, 0, missing))
    columns = functional.pad(proj.unflatten(1, (-1, head)), (0, missing))
    return [
        *(block.norm1.weight, block.norm1.bias),
        packed(rows.flatten(0, 1)),
        functional.pad(bias.unflatten(0, (-1, head)), (0, missing)).flatten(),
        *(packed(columns.flatten(1)), attention.proj.bias),
        *(block.norm2.weight, block.norm2.bias),
        *(packed(mlp.fc1.weight), mlp.fc1.bias),
        *(packed(mlp.fc2.weight, inner), mlp.fc2.bias),
    ]
