from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.feature_health import (
    effective_rank,
    feature_health,
    health_rows,
    participation_ratio,
    warnings_of,
)
from foresight.perception.conditioning import ConditioningConfig, fit_conditioning

OFFSETS = np.array([0, 150, 300, 450, 600])


def walk(width=24, offset=0.0, seed=0, rank=None):
    """Slow random walks, one for each episode, around a common offset."""
    rng = np.random.default_rng(seed)
    inner = rank or width
    parts = []
    for _ in range(4):
        drive = np.cumsum(rng.normal(size=(150, inner)), 0) * 0.3 + rng.normal(size=inner) * 3
        parts.append(drive @ np.linalg.qr(rng.normal(size=(width, width)))[0][:inner])
    return (np.concatenate(parts) + offset).astype(np.float32)


def cosine(a, b):
    return np.sum(a * b, 1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_numbers_equal_numpy_on_all_steps():
    x = walk(offset=2.0)
    found = feature_health(x, OFFSETS)["raw"]
    # Fewer steps than the sample: every step that has two successors is used.
    used = np.concatenate([np.arange(a, b - 2) for a, b in itertools.pairwise(OFFSETS)])
    here, following = x[used], x[used + 1]
    assert found.norm == pytest.approx(np.linalg.norm(here, axis=1).mean(), rel=1e-5)
    assert found.mean == pytest.approx(here.mean(), rel=1e-4)
    assert found.std == pytest.approx(here.std(ddof=1), rel=1e-4)
    assert found.spread == pytest.approx(here.std(0, ddof=1).mean(), rel=1e-4)
    assert found.cosine_consecutive == pytest.approx(cosine(here, following).mean(), rel=1e-5)
    distance = np.linalg.norm(here - following, axis=1).mean()
    assert found.l2_consecutive == pytest.approx(distance, rel=1e-4)
    # Random pairs: against all pairs.
    unit = here / np.linalg.norm(here, axis=1, keepdims=True)
    pairs = unit @ unit.T
    every = (pairs.sum() - len(pairs)) / (len(pairs) * (len(pairs) - 1))
    assert found.cosine_random == pytest.approx(every, abs=0.03)
    assert found.cosine_across is not None
    singular = np.linalg.svd(here, compute_uv=False)
    share = singular / singular.sum()
    assert found.effective_rank == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-3)


def test_ranks_of_known_spectra():
    assert effective_rank(torch.ones(7)) == pytest.approx(7)
    assert participation_ratio(torch.ones(7)) == pytest.approx(7)
    assert effective_rank(torch.tensor([3.0, 0.0, 0.0])) == pytest.approx(1)
    assert participation_ratio(torch.tensor([3.0, 0.0])) == pytest.approx(1)
    assert participation_ratio(torch.tensor([2.0, 1.0])) == pytest.approx(25 / 17)
    assert effective_rank(torch.zeros(3)) == participation_ratio(torch.zeros(3)) == 0


def test_a_common_mean_makes_cosine_blind_and_centring_mends_it():
    health = feature_health(walk(offset=100.0), OFFSETS)
    assert health["raw"].cosine_random > 0.99 and abs(health["centred"].cosine_random) < 0.2
    assert health["raw"].l2_random == pytest.approx(health["centred"].l2_random, rel=1e-3)
    (sentence,) = warnings_of(health)
    assert sentence.startswith("raw: random steps have a cosine of 0.99")
    assert warnings_of(feature_health(walk(), OFFSETS)) == []


def test_flicker_phases_and_collapse_are_told():
    noise = np.random.default_rng(0).normal(size=(600, 24)).astype(np.float32)
    assert any("flicker" in s for s in warnings_of(feature_health(noise, OFFSETS)))
    phases = walk(seed=1)
    phases[::2] += 3
    assert any("two steps lie nearer" in s for s in warnings_of(feature_health(phases, OFFSETS)))
    flat = walk(rank=1, seed=2)
    flat[150:] = np.resize(flat[:150], (450, 24))
    told = warnings_of(feature_health(flat, OFFSETS))
    assert any("centred: the features vary along" in s for s in told)


def test_conditioned_features_on_held_out_episodes():
    x = walk(offset=30.0)
    fitted = fit_conditioning(x, OFFSETS, [0, 1, 2], ConditioningConfig("standardise"))
    health = feature_health(x, OFFSETS, [3], fitted)
    assert list(health) == ["raw", "centred", "standardise"]
    assert health["raw"].cosine_across is None
    rows = health_rows(health, "reacher-easy", "tubelet")
    assert {row["condition"] for row in rows} >= {"tubelet:raw", "tubelet:standardise"}
    assert "cosine-across" not in {row["measure"] for row in rows}


def test_refusals():
    with pytest.raises(ForesightError, match="3 episodes given have 0"):
        feature_health(np.zeros((6, 3), np.float32), np.array([0, 2, 4, 6]))
    broken = walk()
    broken[5] = np.nan
    with pytest.raises(ForesightError, match="not finite"):
        feature_health(broken, OFFSETS)


def test_episodes_of_any_length_and_none_crosses_into_another():
    """Neighbours of one episode are equal; episodes of one or two steps add nothing."""
    lengths = [1, 7, 2, 30, 1, 3]
    values = np.random.default_rng(0).normal(size=(len(lengths), 6)).astype(np.float32)
    features = np.repeat(values, lengths, axis=0)
    found = feature_health(features, np.concatenate(([0], np.cumsum(lengths))))["raw"]
    assert found.l2_consecutive == found.l2_two_steps == 0
    assert found.l2_random > 0.1
