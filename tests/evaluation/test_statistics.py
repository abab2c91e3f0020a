"""Intervals against independent references: scipy's bootstrap, Wilson's formula, known values."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import (
    best_trivial,
    bootstrap_interval,
    condition_difference,
    paired_difference,
    ratio_interval,
    summarise,
    wilson_interval,
)


def episode(task: str, condition: str, seed: int, value: float, **more: object) -> dict:
    return {
        "task": task,
        "condition": condition,
        "seed": seed,
        "return": value,
        "success": value > 150,
        "length": 200,
        "git": "unknown",
        "config_hash": "0" * 16,
        "simulator": "mujoco",
        **more,
    }


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("size", [5, 20, 200])
def test_bootstrap_agrees_with_scipy(size: int, level: float) -> None:
    values = np.random.default_rng(size).exponential(10, size)
    ours = bootstrap_interval(values, level=level, resamples=20_000)
    theirs = scipy.stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    monte_carlo = 0.05 * values.std() / np.sqrt(size)
    assert ours.mean == pytest.approx(values.mean())
    assert ours.low == pytest.approx(theirs.low, abs=monte_carlo)
    assert ours.high == pytest.approx(theirs.high, abs=monte_carlo)
    assert ours.n == size


def test_bootstrap_in_blocks_is_the_same_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=30)
    whole = bootstrap_interval(values)
    monkeypatch.setattr("foresight.evaluation.statistics._BLOCK", 3_000)
    assert bootstrap_interval(values) == whole


def test_bootstrap_is_deterministic_and_covers() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        interval = bootstrap_interval(generator.normal(3, 2, 40), resamples=500)
        covered += interval.low <= 3 <= interval.high
    assert 0.88 <= covered / 200 <= 0.99
    assert bootstrap_interval([1, 2, 4]) == bootstrap_interval([1, 2, 4])
    assert bootstrap_interval([7]) == bootstrap_interval([7.0], seed=3)
    assert bootstrap_interval([7]).low == 7


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [  # Newcombe 1998 (81/263), and tables for 0/10 and 10/10
        (81, 263, 0.2553, 0.3662),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (15, 148, 0.0624, 0.1605),
    ],
)
def test_wilson_against_published_values(k: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(k, n)
    assert interval.low == pytest.approx(low, abs=1e-4)
    assert interval.high == pytest.approx(high, abs=1e-4)
    assert interval.mean == k / n


def test_wilson_against_scipy_and_its_own_equation() -> None:
    z = scipy.stats.norm.ppf(0.975)
    for n in (1, 7, 20, 500):
        for k in {0, 1, n // 2, n}:
            interval = wilson_interval(k, n)
            theirs = scipy.stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
            assert interval.low == pytest.approx(theirs.low, abs=1e-9)
            assert interval.high == pytest.approx(theirs.high, abs=1e-9)
            for end in (interval.low, interval.high):  # the ends solve |rate - p| = z sqrt(pq/n)
                assert abs(k / n - end) == pytest.approx(z * np.sqrt(end * (1 - end) / n), abs=1e-7)


def test_a_ratio_of_means_is_resampled_in_pairs() -> None:
    generator = np.random.default_rng(0)
    most = generator.uniform(50, 150, 20)
    ours = 0.8 * most + generator.normal(0, 1, 20)
    found = ratio_interval(ours, most)
    draws = np.random.default_rng(0).integers(0, 20, size=(10_000, 20))
    loop = sorted(sum(ours[draw]) / sum(most[draw]) for draw in draws)
    assert found.mean == pytest.approx(ours.sum() / most.sum())
    assert found.low == pytest.approx(loop[250], abs=1e-3)
    assert found.high == pytest.approx(loop[9750], abs=1e-3)
    assert found.high - found.low < 0.02  # far less than either mean is sure of
    assert ratio_interval([3], [4]).low == 0.75
    assert ratio_interval([1, 2], [0, 4]).mean == 0.75  # draws of zeros alone have no ratio
    with pytest.raises(ForesightError, match="add up to 0"):
        ratio_interval([1, 2], [0, 0])
    with pytest.raises(ForesightError, match="2 and 1"):
        ratio_interval([1, 2], [1])


def test_paired_difference_is_tighter_than_the_spread_between_seeds() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(0, 50, 20)
    a, b = difficulty + 3 + generator.normal(0, 1, 20), difficulty
    interval = paired_difference(a, b)
    assert interval.low > 0
    assert interval.mean == pytest.approx((a - b).mean())
    assert interval == bootstrap_interval(a - b)
    with pytest.raises(ForesightError, match="20 and 19"):
        paired_difference(a, b[:-1])


def test_bad_input_is_refused() -> None:
    for values in ([], [1.0, np.nan], [np.inf]):
        with pytest.raises(ForesightError):
            bootstrap_interval(values)
    for k, n in ((3, 2), (-1, 2), (0, 0)):
        with pytest.raises(ForesightError):
            wilson_interval(k, n)
    with pytest.raises(ForesightError, match="level"):
        bootstrap_interval([1, 2], level=95)


def test_difference_pairs_by_seed_not_by_order() -> None:
    rows = [episode("t", "zero", seed, 10 * seed) for seed in range(6)]
    rows += [episode("t", "model", seed, 10 * seed + 1) for seed in (5, 3, 1, 9)]
    interval = condition_difference(rows, "t", "model", "zero")
    assert (interval.mean, interval.low, interval.high, interval.n) == (1, 1, 1, 3)
    with pytest.raises(ForesightError, match="share no seed"):
        condition_difference(rows[:6] + rows[-1:], "t", "model", "zero")
    with pytest.raises(ForesightError, match="twice"):
        condition_difference([*rows, rows[0]], "t", "model", "zero")


def test_summary_of_episodes() -> None:
    rows = [episode("t", "zero", seed, 1.0) for seed in range(4)]
    rows += [episode("t", "random", seed, 2.0) for seed in range(4)]
    rows += [episode("t", "model", seed, 149.0 + seed, decision_ms=5.0) for seed in range(4)]
    rows += [episode("u", "model", 0, 3.0)]
    summary = summarise(rows)
    assert best_trivial(rows, "t") == "random"
    assert best_trivial(rows, "u") is None
    assert summary["model/t"]["mean"] == 150.5
    assert summary["model:success/t"] == wilson_interval(2, 4).as_dict()
    assert summary["model:minus-random/t"]["mean"] == 148.5
    assert summary["zero:minus-random/t"]["mean"] == -1
    assert summary["model:decision_ms/t"]["mean"] == 5
    assert "random:minus-random/t" not in summary
    assert not [key for key in summary if "minus" in key and key.endswith("/u")]


def test_summary_of_measurements() -> None:
    rows = [
        {"measure": "error", "condition": "model", "horizon": h, "task": "t", "value": float(h + e)}
        for h in (1, 2)
        for e in range(3)
    ]
    rows.append({"measure": "frames_per_second", "value": 5.0})
    summary = summarise(rows)
    assert summary["model:error@2/t"]["mean"] == 3
    assert summary["model:error@2/t"]["n"] == 3
    assert summary["frames_per_second/all"]["n"] == 1
