"""What lies between the products of a small network's update, compiled on first use.

LayerNorm with bias and activation, and the softmax over groups that moves a state, forward and
backward: each one pass over its numbers. For any processor, one thread.
"""

from __future__ import annotations

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.native.build import MissingError, built, turned_off

FOLDER = Path(__file__).parent / "training"
PARTS = (FOLDER / "norms.cpp", *sorted(FOLDER.glob("*.hpp")))
FLAGS = ("-std=c++20", "-O3", "-shared", "-fPIC", "-Wno-psabi")
ACTIVATIONS = ("relu", "silu")
STEP, WIDEST = 32, 4096
"""Rows are multiples of the one and at most the other."""

Activation = Literal["relu", "silu"]
_P = ctypes.c_void_p


class _Sizes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int64) for name in ("groups", "rows", "width"))


class _Affine(ctypes.Structure):
    _fields_ = tuple((name, _P) for name in ("bias", "gain", "offset"))


class Norms:
    """The compiled functions; all tensors are contiguous and on the CPU.

    Rows are fp32 or bfloat16, sums and statistics fp32. G groups of n rows have parameters each.
    """

    def __init__(self, path: Path) -> None:
        found = ctypes.CDLL(str(path))
        self._norm, self._back, self._moved, self._moved_back = (
            {
                dtype: _declared(found, f"foresight_{name}_{str(dtype).removeprefix('torch.')}", of)
                for dtype in (torch.float32, torch.bfloat16)
            }
            for name, of in (
                ("norm", [_Sizes, _Affine, ctypes.c_int, ctypes.c_float, _P, _P, _P, _P]),
                ("norm_back", [_Sizes, _Affine, ctypes.c_int, _P, _P, _P, _P, _P, _P]),
                ("moved", [_Sizes, _P, ctypes.c_float, ctypes.c_int, _P, _P, _P]),
                ("moved_back", [_Sizes, ctypes.c_float, ctypes.c_int, _P, _P, _P, _P, _P]),
            )
        )

    def norm(
        self,
        rows: Float[Tensor, "G n W"],
        affine: tuple[Tensor, Tensor, Tensor],
        activation: Activation,
        eps: float,
    ) -> tuple[Float[Tensor, "G n W"], Float[Tensor, "G n"], Float[Tensor, "G n"]]:
        """Activated norms of ``rows + bias``, and each row's mean and 1 / deviation.

        ``act(gain · norm(rows + bias) + offset)``.

        Args:
            rows: of a linear map without its bias.
            affine: bias, gain and offset ``[G, W]``, fp32.
            activation: relu or silu.
            eps: added to the variance.
        """
        out, moments = torch.empty_like(rows), rows.new_empty(2, *rows.shape[:2], dtype=torch.float)
        mean, scale = moments.unbind()
        self._norm[rows.dtype](
            _Sizes(*rows.shape),
            _Affine(*(part.data_ptr() for part in affine)),
            *(ACTIVATIONS.index(activation), eps),
            *(part.data_ptr() for part in (rows, out, mean, scale)),
        )
        return out, mean, scale

    def norm_back(
        self,
        rows: Float[Tensor, "G n W"],
        affine: tuple[Tensor, Tensor, Tensor],
        activation: Activation,
        moments: tuple[Tensor, Tensor],
        above: Float[Tensor, "G n W"],
        wanted: bool,
    ) -> tuple[Float[Tensor, "G n W"], Float[Tensor, "G 3 W"] | None]:
        """Gradients of ``rows`` and, if wanted, of bias, gain and offset from that of `norm`."""
        below = torch.empty_like(rows)
        groups, _, width = rows.shape
        sums = torch.zeros(groups, 3, width) if wanted else None
        self._back[rows.dtype](
            _Sizes(*rows.shape),
            _Affine(*(part.data_ptr() for part in affine)),
            ACTIVATIONS.index(activation),
            *(part.data_ptr() for part in (rows, *moments, above, below)),
            None if sums is None else sums.data_ptr(),
        )
        return below, sums

    def moved(
        self,
        z: Float[Tensor, "G n Z"],
        change: Float[Tensor, "G n Z"],
        bias: Float[Tensor, "G Z"],
        least: float,
        shares: int,
    ) -> Float[Tensor, "G n Z"]:
        """``softmax(log(max(z, least)) + change + bias)`` over ``shares`` entries Z / shares apart.

        Z / shares is a multiple of 16; z is fp32.
        """
        out = torch.empty_like(z)
        self._moved[change.dtype](
            *(_Sizes(*z.shape), bias.data_ptr(), least, shares),
            *(part.data_ptr() for part in (z, change, out)),
        )
        return out

    def moved_back(
        self,
        z: Float[Tensor, "G n Z"],
        out: Float[Tensor, "G n Z"],
        above: Float[Tensor, "G n Z"],
        least: float,
        shares: int,
        dtype: torch.dtype,
    ) -> tuple[Float[Tensor, "G n Z"], Float[Tensor, "G n Z"]]:
        """Gradients of ``z`` and of ``change``, the latter in ``dtype``, from that of `moved`."""
        below, change = torch.empty_like(z), torch.empty_like(z, dtype=dtype)
        self._moved_back[dtype](
            *(_Sizes(*z.shape), least, shares),
            *(part.data_ptr() for part in (z, out, above, below, change)),
        )
        return below, change


@lru_cache(maxsize=1)
def norms() -> Norms | None:
    """The functions; None where they are turned off or cannot be compiled, which is no error."""
    if turned_off():
        return None
    try:
        return Norms(built(PARTS, (*FLAGS, *_processor())))
    except (MissingError, OSError):
        return None


def _processor() -> tuple[str, ...]:
    """Flags for what torch found in the processor; they are part of the file's name."""
    capability = torch.backends.cpu.get_cpu_capability()
    if capability == "AVX512":
        # No public query exists in all supported versions of torch.
        rounds = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()
        return ("-march=x86-64-v4", *(("-mavx512bf16",) if rounds else ()))
    return ("-march=x86-64-v3",) if capability == "AVX2" else ()


def _declared(library: ctypes.CDLL, name: str, arguments: list[type]) -> ctypes._NamedFuncPointer:
    function = getattr(library, name)
    function.restype, function.argtypes = None, arguments
    return function
