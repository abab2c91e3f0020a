"""Probes recover what is planted in tokens, on episodes they have not seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from synthetic import planted

from counted import count_parameters
from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.data import split_by_episode
from foresight.diagnostics.probes.fit import FitSettings, Goals, fit_network
from foresight.diagnostics.probes.networks import (
    AttentiveProbe,
    MlpProbe,
    PatchProbe,
)
from foresight.diagnostics.probes.read import columns_of, read_features

QUICK = FitSettings(updates=200, rate=4e-3, batch=64)


def test_the_attentive_probe_recovers_planted_places():
    tokens, data = planted()
    readings = {
        r.measure: r for r in read_features(tokens, data, split_by_episode(data.episodes), QUICK)
    }
    assert readings["position-r2"].interval.mean > 0.9
    assert readings["position-r2"].interval.n == 12
    assert set(readings["position-r2"].targets) == {"row", "column"}
    assert readings["velocity-r2"].others["attentive"][1] > 0.5
    assert readings["kind-accuracy"].interval.mean > 0.9
    best = max(readings["position-r2"].others.items(), key=lambda entry: entry[1][0])
    assert readings["position-r2"].probe == best[0]


def test_the_choice_looks_at_validation_episodes_only():
    """Labels of the test episodes have no part in what is predicted for them."""
    tokens, data = planted(count=200, episodes=20)
    split = split_by_episode(data.episodes)
    quick = FitSettings(updates=8)
    first = {r.measure: r.probe for r in read_features(tokens, data, split, quick)}
    labels = data.labels
    labels[split.test] = labels[split.test][::-1].copy()
    second = {r.measure: r.probe for r in read_features(tokens, data, split, quick)}
    assert first == second


def test_vectors_are_read_by_a_linear_and_an_mlp_probe():
    _, data = planted(count=400, episodes=40)
    features = torch.from_numpy(data.labels[:, :3]).float()
    features = (features - features.mean(dim=0)) / features.std(dim=0)
    readings = read_features(
        features, data, split_by_episode(data.episodes), FitSettings(updates=12)
    )
    assert set(readings[0].others) == {"linear", "mlp"}
    assert readings[0].interval.mean > 0.999


def test_columns_hold_the_present_and_its_differences():
    tokens, data = planted(count=60, episodes=10)
    split = split_by_episode(data.episodes)
    found = columns_of(tokens, split).double()
    assert found.shape == (60, 36, 32)
    now = tokens[:, 1].flatten(1, 2).double()
    change = now - tokens[:, 0].flatten(1, 2).double()
    for part, raw in zip(found.split(16, dim=2), (now, change), strict=True):
        wanted = raw - raw[split.train].mean(dim=0)
        spread = wanted[split.train].square().mean().sqrt()
        np.testing.assert_allclose(part, wanted / spread, atol=2e-2)


def test_probes_are_small():
    assert count_parameters(AttentiveProbe((8, 8), 384, 16)) < 500_000
    assert count_parameters(AttentiveProbe((16, 16), 2 * 1024, 16)) < 500_000
    assert count_parameters(PatchProbe(64, 384, 22)) < 500_000
    assert count_parameters(MlpProbe(256, 22)) < 500_000


def test_training_is_reproducible_and_leaves_the_random_state_alone():
    tokens, data = planted(count=100, episodes=10)
    split = split_by_episode(data.episodes)
    goals = Goals(data, split)
    x = tokens.flatten(1)[:, :40]

    def fit():
        return fit_network(lambda n: MlpProbe(40, n), x, goals, split, FitSettings(updates=8))

    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    first = fit()
    assert torch.rand(1) == wanted
    np.testing.assert_array_equal(fit(), first)


def test_features_that_are_not_finite_are_refused():
    tokens, data = planted(count=50, episodes=10)
    tokens[3, 0, 0, 0, 0] = float("nan")
    with pytest.raises(ForesightError, match="not finite"):
        read_features(tokens, data, split_by_episode(data.episodes), QUICK, "broken eyes")
