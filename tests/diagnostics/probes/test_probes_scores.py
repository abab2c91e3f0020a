"""Scores and intervals against a plain loop over resampled episodes."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.scores import accuracy_interval, r_squared, r_squared_interval

RANDOM = np.random.default_rng(0)
EPISODES = np.repeat(np.arange(20), 6)
TRUTH = RANDOM.standard_normal((120, 2)) + RANDOM.standard_normal((20, 2))[EPISODES] + 50
PREDICTED = TRUTH + 0.7 * RANDOM.standard_normal((120, 2))


def naive(score, draws=1500):
    random = np.random.default_rng(1)
    values = []
    for _ in range(draws):
        chosen = random.integers(20, size=20)
        rows = np.concatenate([np.flatnonzero(e == EPISODES) for e in chosen])
        values.append(score(rows))
    return np.quantile(values, [0.025, 0.975])


def test_r_squared_is_one_minus_error_over_variance():
    truth, predicted = TRUTH[:, 0], PREDICTED[:, 0]
    residual = np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2)
    assert r_squared(truth, predicted) == pytest.approx(1 - residual)
    assert r_squared(truth, truth) == 1.0
    assert r_squared(truth, np.full(120, truth.mean())) == pytest.approx(0.0)


def test_interval_of_r_squared_resamples_episodes():
    found = r_squared_interval(TRUTH, PREDICTED, EPISODES)
    wanted = naive(
        lambda rows: np.mean([r_squared(TRUTH[rows, q], PREDICTED[rows, q]) for q in range(2)])
    )
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=0.02)
    assert found.n == 20
    assert found.low < found.mean < found.high


def test_interval_of_accuracy_resamples_episodes():
    truth = RANDOM.integers(4, size=120)
    predicted = np.where(RANDOM.random(120) < 0.8, truth, (truth + 1) % 4)
    found = accuracy_interval(truth, predicted, EPISODES)
    wanted = naive(lambda rows: np.mean(truth[rows] == predicted[rows]))
    assert found.mean == np.mean(truth == predicted)
    assert (found.low, found.high) == pytest.approx(tuple(wanted), abs=0.02)


def test_a_quantity_that_never_changes_cannot_be_scored():
    with pytest.raises(ForesightError, match="one value 3"):
        r_squared(np.full(9, 3.0), np.zeros(9))


def test_one_episode_gives_no_spread():
    found = r_squared_interval(TRUTH[:6], PREDICTED[:6], EPISODES[:6])
    assert found.low == found.mean == found.high
    assert found.n == 1
