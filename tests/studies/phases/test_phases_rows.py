"""Paired rows against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.training.offline import HorizonError
from studies.phases import rows as made

TASK = "reacher-easy"


def episode(condition, seed, value, **more):
    return {
        "task": TASK,
        "condition": condition,
        "seed": seed,
        "return": value,
        "success": False,
        "length": 200,
        "git": "unknown",
        "config_hash": "0" * 16,
        "simulator": "mujoco",
        **more,
    }


def errors(offset, episodes=6, horizons=3):
    rng = np.random.default_rng(0)
    found = []
    for h in range(1, horizons + 1):
        still = rng.exponential(h, episodes)
        found.append(HorizonError(h, (still + offset).tolist(), still.tolist()))
    return found


def test_differences_of_errors_are_paired_by_episode_at_every_horizon():
    found = made.error_differences(TASK, "grid:a minus b", errors(0.5), errors(0.2))
    keys = [f"grid:a minus b:error-difference@{horizon}/{TASK}" for horizon in (1, 2, 3)]
    assert list(found) == keys
    np.testing.assert_allclose([entry["mean"] for entry in found.values()], 0.3)
    entry = found[keys[1]]
    assert entry["low"] == pytest.approx(0.3) and entry["n"] == 6  # pairing removes all spread


def test_a_model_stands_beside_persistence():
    found = made.beside_persistence(TASK, "grid:a", errors(-0.25))
    np.testing.assert_allclose([entry["mean"] for entry in found.values()], -0.25)
    assert f"grid:a minus persistence:error-difference@3/{TASK}" in found
    every = made.error_rows(TASK, "grid:a", errors(0)) + made.persistence_rows(
        TASK, "grid:still", errors(0)
    )
    values = [row["value"] for row in every]
    assert values[: len(values) // 2] == values[len(values) // 2 :]


def test_unequal_errors_cannot_be_paired():
    with pytest.raises(ForesightError, match="cannot be paired"):
        made.error_differences(TASK, "a minus b", errors(0), errors(0, episodes=5))


def test_returns_are_paired_by_seed_not_by_order():
    rows = [episode("a", seed, 10.0 * seed) for seed in (2, 0, 1)]
    rows += [episode("b", seed, 10.0 * seed - seed) for seed in (0, 1, 2, 3)]
    found = made.return_differences(rows, TASK, "a", "b")
    (entry,) = found.values()
    assert list(found) == [f"a minus b:return-difference/{TASK}"]
    assert entry["mean"] == pytest.approx(1.0) and entry["n"] == 3
    with pytest.raises(ForesightError, match="share no seed"):
        made.return_differences(rows, TASK, "a", "c")


def test_the_share_of_the_latent_distance_that_was_removed():
    rows = [
        episode("a", 0, 1.0, latent_initial=10.0, latent_min=4.0),
        episode("b", 0, 1.0, latent_initial=10.0, latent_min=9.0),
        episode("zero", 0, 0.0),
    ]
    shares = {key: entry["mean"] for key, entry in made.removed_shares(rows, TASK).items()}
    assert shares == {
        f"a:latent-distance-removed/{TASK}": pytest.approx(0.6),
        f"b:latent-distance-removed/{TASK}": pytest.approx(0.1),
    }
    (difference,) = made.removed_differences(rows, TASK, "a", "b").values()
    assert difference["mean"] == pytest.approx(0.5)


def test_episodes_under_another_name_are_the_same_episodes():
    rows = [episode("grid:cem", 3, 7.0)]
    (found,) = made.relabelled(rows, "grid:one-step")
    assert found == {**rows[0], "condition": "grid:one-step"}
    assert rows[0]["condition"] == "grid:cem"
