"""Rotary positions and attention, against loops over channels and torch's own kernel."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from foresight.perception.rope import grid_positions, pair_swap, rotary_tables, rotate
from foresight.perception.vit import attend


def normal(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def turned(x, position, frequency):
    """One token's channels, turned one by one; ``frequency`` gives a channel's, within its axis."""
    size = 2 * (len(x) // 3 // 2)
    out = []
    for channel, value in enumerate(x):
        axis, within = divmod(channel, size)
        angle = position[axis] * 10000 ** -(frequency(within, size) / (size / 2)) if axis < 3 else 0
        # Neighbours are a pair: (a, b) becomes (a cos - b sin, b cos + a sin).
        other = -x[channel + 1] if channel % 2 == 0 else x[channel - 1]
        out.append(value * math.cos(angle) + other * math.sin(angle))
    return out


def tiled(within, size):
    """What V-JEPA 2 does: frequencies 0 1 2 0 1 2 over six channels."""
    return within % (size // 2)


def paired(within, size):
    """What a rotation would do: 0 0 1 1 2 2."""
    return within // 2


def ours(x, grid):
    cos, sin = rotary_tables(grid_positions(*grid), x.shape[-1])
    return rotate(x, cos, sin, pair_swap(x.shape[-1]).double())


def naive(x, grid, frequency):
    places = [(t, i, j) for t in range(grid[0]) for i in range(grid[1]) for j in range(grid[2])]
    return torch.tensor(
        [turned(row.tolist(), place, frequency) for row, place in zip(x, places, strict=True)],
        dtype=torch.float64,
    )


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),
    st.sampled_from([6, 8, 12, 14, 22, 32, 64]),
)
def test_rotation_equals_a_loop_over_channels_on_any_grid(grid, head):
    x = normal(math.prod(grid), head, dtype=torch.float64)
    torch.testing.assert_close(ours(x, grid), naive(x, grid, tiled), rtol=1e-12, atol=1e-12)


def test_the_tile_is_no_rotation_and_is_kept():
    x, grid = normal(24, 12, dtype=torch.float64), (2, 3, 4)
    pure = naive(x, grid, paired)
    torch.testing.assert_close(pure.norm(dim=1), x.norm(dim=1))
    assert (ours(x, grid) - pure).abs().max() > 0.1
    assert (ours(x, grid).norm(dim=1) - x.norm(dim=1)).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_swap_is_exact(dtype):
    x = normal(5, 8, dtype=dtype)
    swapped = x @ pair_swap(8).to(dtype)
    expected = torch.stack((-x[:, 1::2], x[:, 0::2]), dim=-1).flatten(1)
    assert swapped.equal(expected)


def test_attention_with_gradients_equals_the_fused_kernel():
    inputs = [normal(2, 3, n, 8, seed=n) for n in (5, 7)]
    q, k, v = inputs[0], inputs[1], normal(2, 3, 7, 8, seed=1)
    wanted = normal(2, 3, 5, 8, seed=2)
    results = []
    for function in (attend, functional.scaled_dot_product_attention):
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        out = function(*leaves)
        results.append((out, *torch.autograd.grad((out * wanted).sum(), leaves)))
    for own, fused in zip(*results, strict=True):
        torch.testing.assert_close(own, fused, rtol=1e-5, atol=1e-6)
    assert attend(q, k, v).equal(functional.scaled_dot_product_attention(q, k, v))
