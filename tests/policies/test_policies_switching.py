"""Held actions: how long, how strong, and from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec
from foresight.policies import make_policy

SPEC = Spec(action=(Axis("a", None, -1.0, 1.0), Axis("b", None, 0.0, 4.0)), fps=10)
SEEN = Observation({}, np.zeros(0, np.float32))


def acted(name, count, seed=0):
    policy = make_policy(name, SPEC)
    policy.reset(SEEN, seed)
    return np.array([policy.act(SEEN) for _ in range(count)])


def test_actions_are_held_for_one_to_three_seconds_and_fill_the_bounds():
    actions = acted("switch:0", 5000)
    changes = np.flatnonzero((np.diff(actions, axis=0) != 0).any(axis=1))
    lengths = np.diff(changes)
    assert lengths.min() >= 10 and lengths.max() <= 60  # two rests in a row look like one
    assert lengths.mean() == pytest.approx(20, abs=2.5)
    assert actions.min(axis=0) == pytest.approx([-1, 0], abs=0.1)
    assert actions.max(axis=0) == pytest.approx([1, 4], abs=0.1)
    assert (actions == 0).all(axis=1).mean() == pytest.approx(0.1, abs=0.06)


def test_noise_lies_on_top_within_the_bounds_and_follows_from_the_seed():
    quiet, noisy = acted("switch:0", 500), acted("switch:0.2", 500)
    inner = (np.abs(quiet[:, 0]) < 0.7) & (np.abs(quiet[:, 1] - 2) < 1.4)
    apart = (noisy - quiet)[inner] / [1.0, 2.0]
    assert np.abs(apart).max() == pytest.approx(0.2, abs=1e-3)
    assert noisy.min(axis=0)[0] >= -1 and noisy.max(axis=0)[1] <= 4
    assert np.array_equal(noisy, acted("switch:0.2", 500))
    assert not np.array_equal(noisy, acted("switch:0.2", 500, seed=1))
    assert np.array_equal(acted("switch", 50), acted("switch:0.1", 50))


@pytest.mark.parametrize("name", ["switch:", "switch:a", "switch:-1", "switch:0.1,2"])
def test_other_spellings_are_refused(name):
    with pytest.raises(ForesightError, match="Policy"):
        make_policy(name, SPEC)
