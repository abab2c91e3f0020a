"""R² of reward models against the plain formula, and what a split by frame gives away."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.training import Latents
from studies.phases.rewards import one_minus, ratio_interval, split_by_frame, squared_errors, totals


def latents(lengths, seed=0):
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    generator = torch.Generator().manual_seed(seed)
    count = int(offsets[-1])
    held = max(1, len(lengths) // 3)
    return Latents(
        z=torch.randn(count, 4, generator=generator),
        offsets=offsets,
        train=range(len(lengths) - held),
        validation=range(len(lengths) - held, len(lengths)),
        actions=torch.randn(count, 2, generator=generator),
        rewards=torch.randn(count, generator=generator),
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=3, max_size=9), st.integers(0, 100))
def test_r_squared_is_the_plain_formula(lengths, seed):
    found = latents(lengths, seed)
    guess = found.rewards + 0.3 * found.z[:, 0]
    first = int(found.offsets[found.validation[0]])
    truth, mine = found.rewards[first:].double(), guess[first:].double()
    mean = found.rewards[: int(found.offsets[len(found.train)])].mean()
    expected = 1 - (mine - truth).square().sum() / (truth - mean).square().sum()
    errors, total = squared_errors(found, guess), totals(found)
    assert len(errors) == len(total) == len(found.validation)
    assert abs(one_minus(errors, total).mean - float(expected)) < 1e-6


def test_the_constant_explains_nothing():
    found = latents([10] * 6)
    constant = found.rewards[:40].mean().expand(60)
    assert abs(one_minus(squared_errors(found, constant), totals(found)).mean) < 1e-9


def test_a_split_by_frame_leaves_neighbours_on_both_sides():
    found = latents([50] * 8)
    steps = split_by_frame(found, 0.2)
    assert len(steps.validation) == 80 and len(steps.train) == 320
    assert not set(steps.train) & set(steps.validation)
    owners = {step // 50 for step in steps.validation}
    assert owners == {step // 50 for step in steps.train} == set(range(8))


def test_a_ratio_of_sums_and_its_interval():
    rng = np.random.default_rng(0)
    above, below = rng.exponential(2, 40), rng.exponential(4, 40)
    found = ratio_interval(above, below, resamples=2000)
    assert found.mean == pytest.approx(above.sum() / below.sum())
    draws = np.random.default_rng(1).integers(0, 40, (4000, 40))
    low, high = np.quantile(above[draws].sum(1) / below[draws].sum(1), [0.025, 0.975])
    assert found.low == pytest.approx(low, rel=0.05)
    assert found.high == pytest.approx(high, rel=0.05)
    assert found.n == 40
    assert ratio_interval(below, below).low == pytest.approx(1)


@pytest.mark.parametrize(("above", "below"), [([1.0], [1.0, 2.0]), ([1.0], [0.0])])
def test_a_ratio_that_is_undefined_is_refused(above, below):
    with pytest.raises(ForesightError, match="ratio of"):
        ratio_interval(np.array(above), np.array(below))


def test_episodes_without_variance_are_no_reason_to_fail():
    found = ratio_interval(np.array([0.0, 1.0]), np.array([0.0, 2.0]))  # half the draws divide by 0
    assert found.mean == found.low == found.high == 0.5
