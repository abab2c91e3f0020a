"""Distances and inverse models on walks whose truth is known."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_latents import walks

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads import (
    HeadTraining,
    InverseModel,
    Reachability,
    train_inverse,
    train_reachability,
)
from foresight.worldmodel.heads.inverse import InverseConfig
from foresight.worldmodel.heads.reachability import ReachabilityConfig
from foresight.worldmodel.heads.training import Pairs
from foresight.worldmodel.ranks import auc, ranks, spearman

SHORT = HeadTraining(updates=120, batch=128, lr=1e-2, checks=2)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(1, 12))
def test_pairs_stay_in_their_episodes(seed, longest):
    offsets = np.array([0, 1, 3, 10, 30])
    pairs = Pairs(offsets, [0, 1, 3], longest)
    generator = torch.Generator().manual_seed(seed)
    earlier, gap, _ = pairs.near(50, generator)
    later = earlier + gap
    assert int(gap.min()) >= 1 and int(gap.max()) <= longest
    for first, last in zip(earlier.tolist(), later.tolist(), strict=True):
        assert any(s <= first and last < e for s, e in ((1, 3), (10, 30)))
    numbers = torch.randint(2, (50,), generator=generator)
    for number, row in zip(numbers.tolist(), pairs.far(numbers, generator).tolist(), strict=True):
        start, end = ((1, 3), (10, 30))[1 - number]
        assert start <= row < end


def test_pairs_reach_every_step():
    pairs = Pairs(np.array([0, 5]), [0], 4)
    earlier, gap, _ = pairs.near(2000, torch.Generator().manual_seed(0))
    seen = set(zip(earlier.tolist(), (earlier + gap).tolist(), strict=True))
    assert seen == {(i, j) for i in range(5) for j in range(i + 1, 5)}
    with pytest.raises(ForesightError, match="two episodes"):
        pairs.far(torch.zeros(3, dtype=torch.long), torch.Generator())
    with pytest.raises(ForesightError, match="0 episodes of two steps"):
        Pairs(np.array([0, 1]), [0], 4)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=9), st.randoms())
def test_ranks_and_auc_equal_naive_counts(values, random):
    x = torch.tensor(values).float()
    for value, rank in zip(values, ranks(x).tolist(), strict=True):
        below, same = sum(v < value for v in values), sum(v == value for v in values)
        assert rank == below + (same + 1) / 2
    other = [random.randint(0, 5) for _ in range(4)]
    wins = sum((p > n) + 0.5 * (p == n) for p in values for n in other)
    expected = wins / (len(values) * 4)
    assert auc(x, torch.tensor(other).float()) == pytest.approx(expected)
    assert spearman(x, x * 3 + 1) == (pytest.approx(1) if len(set(values)) > 1 else 0)


def test_reachability_knows_time_better_than_the_plain_distance():
    torch.manual_seed(0)
    head = Reachability(8, ReachabilityConfig(hidden=64, longest=20))
    report = train_reachability(head, walks(), SHORT)
    assert report.rank_correlation > max(0.8, report.latent_rank_correlation)
    assert report.auc > 0.9 and len(report.history) == 2
    z = walks().z
    assert head(z[:6].view(2, 3, 8), z[9]).shape == (2, 3)
    assert float(head(z[0], z[20])) > float(head(z[0], z[3]))
    assert head.bfloat16()(z[0], z[1]).dtype == torch.float32


def test_inverse_model_finds_the_actions():
    torch.manual_seed(0)
    latents = walks()
    model = InverseModel(8, (-1.0,), (1.0,), InverseConfig(hidden=64, layers=2, longest=3))
    report = train_inverse(model, latents, SHORT)
    assert report.r_squared > 0.3 and report.log_likelihood > report.constant_log_likelihood
    start = torch.arange(20)
    mean, _ = model(latents.z[start], latents.z[start + 1], torch.ones(20))
    error = (mean - latents.actions[:20]).square().mean()
    assert float(error) < 0.1 * float(latents.actions.var())
    drawn = model.sample(latents.z[:5], latents.z[9], torch.tensor(3.0))
    assert drawn.shape == (5, 1) and float(drawn.abs().max()) <= 1
    with pytest.raises(ForesightError, match="actions"):
        train_inverse(model, dataclasses.replace(latents, actions=None), SHORT)


def test_inverse_means_keep_to_uneven_bounds():
    model = InverseModel(4, (0.0, -3.0), (1.0, -1.0), InverseConfig(16, 1))
    mean, _ = model(100 * torch.randn(50, 4), torch.randn(50, 4), torch.full((50,), 2.0))
    assert float(mean[:, 0].min()) >= 0 and float(mean[:, 0].max()) <= 1
    assert float(mean[:, 1].min()) >= -3 and float(mean[:, 1].max()) <= -1


def test_a_loss_that_is_not_finite_is_one_sentence():
    latents = walks()
    broken = dataclasses.replace(latents, z=latents.z * torch.nan)
    with pytest.raises(ForesightError, match="loss of Reachability became nan at update 1"):
        train_reachability(Reachability(8), broken, SHORT)
