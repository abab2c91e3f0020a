"""R² of reward models against the plain formula, and what a split by frame gives away."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.worldmodel.heads.training import Latents
from studies.phases.rewards import one_minus, split_by_frame, squared_errors, totals


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
