"""Masks: disjoint, of fixed size, and blocks in space and time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.perception.pretraining.masks import (
    CLOSE,
    LONG,
    MASKS,
    SHORT,
    WIDE,
    Mask,
    draw_masks,
    mask_sizes,
)

GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)).filter(
    lambda grid: math.prod(grid) > 1
)
KINDS = st.sampled_from(list(MASKS.values())) | st.builds(
    Mask, st.integers(1, 4), st.floats(0.01, 1.0), st.floats(0.01, 1.0)
)


@settings(max_examples=60, deadline=None)
@given(KINDS, GRIDS, st.integers(0, 2**32))
def test_seen_and_hidden_are_sorted_disjoint_and_of_fixed_size(mask, grid, seed):
    keep, hidden = draw_masks(mask, grid, 3, np.random.default_rng(seed))
    again = draw_masks(mask, grid, 3, np.random.default_rng(seed))
    assert keep.equal(again[0])
    assert hidden.equal(again[1])
    assert len(keep) == len(hidden) == 3
    assert (keep.shape[1], hidden.shape[1]) == mask_sizes(mask, grid)
    for seen, unseen in zip(keep.tolist(), hidden.tolist(), strict=True):
        for indices in (seen, unseen):
            assert indices == sorted(set(indices))
            assert 0 <= indices[0] <= indices[-1] < math.prod(grid)
        assert not set(seen) & set(unseen)


@settings(max_examples=20, deadline=None)
@given(
    st.sampled_from([SHORT, LONG]),
    st.tuples(st.integers(2, 4), st.integers(7, 10), st.integers(7, 10)),
    st.integers(0, 2**32),
)
def test_what_is_hidden_throughout_is_seen_at_no_time(mask, grid, seed):
    keep, hidden = draw_masks(mask, grid, 4, np.random.default_rng(seed))
    places = grid[1] * grid[2]
    for seen, unseen in zip(keep.numpy(), hidden.numpy(), strict=True):
        assert not set(seen % places) & set(unseen % places)


def test_a_block_of_half_the_time_leaves_every_place_at_other_times():
    mask, places = Mask(blocks=1, space=0.5, time=0.5), 36
    _, hidden = draw_masks(mask, (4, 6, 6), 50, np.random.default_rng(0))
    for unseen in hidden.numpy():
        times = set(unseen // places)
        assert len(times) == 2
        assert max(times) - min(times) == 1
        assert len(np.unique(unseen % places)) <= 25  # one block, not scattered tokens
    assert {tuple(sorted(set(row // places))) for row in hidden.numpy()} == {(0, 1), (1, 2), (2, 3)}


def test_hidden_tokens_form_a_block_in_space():
    _, hidden = draw_masks(Mask(blocks=1, space=0.25), (2, 8, 8), 30, np.random.default_rng(0))
    for row in hidden.numpy():
        i, j = row % 64 // 8, row % 8
        height, width = np.ptp(i) + 1, np.ptp(j) + 1
        assert height * width <= 20  # 16 tokens, sides rounded
        assert 0.5 <= height / width <= 2


@pytest.mark.parametrize(
    ("mask", "sizes"),
    # .8 of 128 tokens, times (1 - .15)**8 = .2725 or its rest; and so on.
    [(SHORT, (27, 74)), (LONG, (9, 93)), (CLOSE, (54, 47)), (WIDE, (43, 59))],
)
def test_sizes_of_the_named_masks_on_the_bundled_grid(mask, sizes):
    assert mask_sizes(mask, (2, 8, 8)) == sizes


def test_clips_of_a_batch_have_their_own_blocks():
    _, hidden = draw_masks(SHORT, (2, 8, 8), 8, np.random.default_rng(0))
    assert len({tuple(row) for row in hidden.tolist()}) == 8


def test_a_grid_that_blocks_would_cover_gets_single_tokens():
    keep, hidden = draw_masks(Mask(blocks=2, space=1.0), (1, 1, 2), 20, np.random.default_rng(0))
    assert (keep + hidden == 1).all()
    assert keep.unique().tolist() == [0, 1]


def test_one_token_cannot_be_masked():
    with pytest.raises(ForesightError, match="1 token cannot be masked: choose smaller patches"):
        draw_masks(SHORT, (1, 1, 1), 1, np.random.default_rng(0))


@pytest.mark.parametrize("values", [(0, 0.5, 1.0), (1, 0.0, 1.0), (1, 1.5, 1.0), (1, 0.5, 0.0)])
def test_an_impossible_mask_is_refused(values):
    with pytest.raises(ForesightError, match="is not possible"):
        Mask(*values)
