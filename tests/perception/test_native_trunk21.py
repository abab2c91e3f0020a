"""What is handed to the C++ blocks for V-JEPA 2.1, and what is checked before they are used.

Where they cannot run, a stand-in in Python reads the same addresses and computes their function, so
that weights, tables, levels and stills are tried on every machine.
"""

from __future__ import annotations

import ctypes

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from vjepa21_files import REFERENCE, WEIGHTS

import foresight
from foresight.native import library
from foresight.perception import native_trunk, trunk


def tensor(address, *shape, dtype=torch.float32):
    """Numbers at an address."""
    count = int(torch.tensor(shape).prod())
    held = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return torch.frombuffer(held, dtype=dtype).view(shape).clone()


def unpacked(address, outputs, inputs, inner=None):
    """The inverse of `foresight.native.packed`."""
    inner = inner or inputs
    shape = (inputs // inner, outputs // 32, inner // 32, 2, 16, 16, 2)
    found = tensor(address, *shape, dtype=torch.bfloat16).float()
    return found.permute(1, 3, 5, 0, 2, 4, 6).reshape(outputs, inputs)


class StandIn:
    """`foresight_encode` in Python, products in fp32 with the rounded weights.

    Args:
        turns: leaves out the rotation where it is False.
    """

    def __init__(self, turns=True):
        self.turns = turns

    def foresight_encode(self, sizes, weights, cos, sin, frames, given, out, clips, tokens, _):
        s = sizes._obj
        left = iter(weights)
        norm, shift, kernel, rest, bias = (next(left) for _ in range(5))
        if frames is None:
            x = tensor(given, clips, tokens, s.dim)
        else:
            x = self.embedded(s, frames, clips, tokens, kernel, rest, bias)
        head = (tokens + 31) // 32 * 32, s.head
        cos, sin = tensor(cos, *head)[:tokens], tensor(sin, *head)[:tokens]
        for _ in range(s.depth):
            x = self.block(s, x, left, cos, sin)
        x = functional.layer_norm(x, (s.dim,), tensor(norm, s.dim), tensor(shift, s.dim), s.eps)
        ctypes.memmove(out, x.contiguous().data_ptr(), 4 * x.numel())
        return 0

    def embedded(self, s, frames, clips, tokens, kernel, rest, bias):
        rows, columns = s.height // s.patch, s.width // s.patch
        tubelets, size = tokens // (rows * columns), 3 * s.tubelet * s.patch**2
        shape = (clips, tubelets, s.tubelet, rows, s.patch, columns, s.patch, 3)
        patches = tensor(frames, *shape, dtype=torch.uint8).permute(0, 1, 3, 5, 2, 4, 6, 7)
        matrix = unpacked(kernel, s.dim, size) + unpacked(rest, s.dim, size)
        return (patches.reshape(clips, tokens, size) - 128.0) @ matrix.T + tensor(bias, s.dim)

    def block(self, s, x, left, cos, sin):
        def normed(x):
            return functional.layer_norm(
                x, (s.dim,), tensor(next(left), s.dim), tensor(next(left), s.dim), s.eps
            )

        def linear(x, outputs, inputs, inner=None):
            weight = unpacked(next(left), outputs, inputs, inner)
            return functional.linear(x, weight, tensor(next(left), outputs))

        heads = linear(normed(x), 3 * s.dim, s.dim).unflatten(-1, (3, s.heads, s.head))
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        if self.turns:
            swapped = (y.unflatten(-1, (-1, 2)).flip(-1).flatten(-2) for y in (q, k))
            q, k = (y * cos + z * sin for y, z in zip((q, k), swapped, strict=True))
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + linear(mixed, s.dim, s.dim)
        hidden = functional.gelu(linear(normed(x), s.hidden, s.dim))
        return x + linear(hidden, s.dim, s.hidden, s.inner)


@pytest.fixture
def stand_in(monkeypatch):
    def install(turns=True):
        monkeypatch.setattr(native_trunk, "library", lambda: StandIn(turns))
        trunk.native_turns_pairs.cache_clear()

    yield install
    trunk.native_turns_pairs.cache_clear()


def test_the_blocks_are_given_what_they_need(stand_in):
    stand_in()
    held = load_file(REFERENCE / "meta_vjepa21_encoder_small_io.safetensors")
    for case in ("video", "nonsquare", "image"):
        clip = held[f"{case}.clip_BCTHW"].float().transpose(1, 2)
        encoder = foresight.load_encoder(WEIGHTS, dtype="bfloat16", image_size=clip.shape[3:])
        assert encoder.trunk.native is not None
        for levels, name in ((False, "tokens_BND"), (True, "levels_BN4D")):
            apart = (encoder.tokens(clip, levels).flatten(1, 3) - held[f"{case}.{name}"]).abs()
            assert apart.mean() < 0.02, (case, name)  # what rounding the weights does


def test_bytes_are_seen_as_their_pixels_are(stand_in):
    stand_in()
    fast = foresight.load_encoder(WEIGHTS, dtype="bfloat16")
    exact = foresight.load_encoder(WEIGHTS, dtype="float32")
    assert fast.trunk.native is not None
    for frames in (4, 1):
        clip = torch.randint(0, 256, (2, frames, 64, 64, 3), dtype=torch.uint8)
        assert (fast.encode(clip) - exact.encode(clip)).abs().mean() < 0.02


def test_blocks_that_do_not_turn_pairs_are_not_used(stand_in):
    stand_in(turns=False)
    assert foresight.load_encoder(WEIGHTS, dtype="bfloat16").trunk.native is None
    assert not trunk.native_turns_pairs()


@pytest.mark.skipif(library() is None, reason="no native encoder")
def test_the_compiled_blocks_turn_pairs():
    trunk.native_turns_pairs.cache_clear()
    assert trunk.native_turns_pairs()
