"""The search for the best constant action."""

from __future__ import annotations

import numpy as np
import pytest

from bodies import named
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs.dmc.environment import make
from foresight.evaluation.constant import best_constant, constant_spec, default_candidates

SEEDS = (10_000, 10_001)


def test_the_winner_is_the_best_of_the_candidates():
    candidates = np.array([[0.0], [0.5], [1.0]])
    action, mean = best_constant("cartpole-swingup", seeds=SEEDS, candidates=candidates)
    alone = [
        best_constant("cartpole-swingup", seeds=SEEDS, candidates=c[None])[1] for c in candidates
    ]
    assert mean == max(alone)
    assert action == candidates[int(np.argmax(alone))]
    assert mean > alone[0] + 5  # doing nothing leaves the pole hanging


def test_candidates_begin_with_zero_and_stay_within_bounds():
    for task in ("cartpole-swingup", "reacher-easy", "quadruped-walk"):
        space = make(task, render=None).action_space
        found = default_candidates(space)
        assert not found[0].any()
        assert all(space.contains(action) for action in found)
        assert np.array_equal(found, default_candidates(space))


def test_the_winner_has_a_spec():
    spec = constant_spec(np.float32([0.5, -0.25]))
    assert spec == "constant:0.5,-0.25"
    assert named(spec).act(Observation()).tolist() == [0.5, -0.25]


def test_evaluation_seeds_and_wrong_candidates_are_refused():
    with pytest.raises(ForesightError, match="from 10000 on"):
        best_constant("cartpole-swingup", seeds=[0, 1])
    with pytest.raises(ForesightError, match="from 10000 on"):
        best_constant("cartpole-swingup", seeds=[])
    with pytest.raises(ForesightError, match=r"\[N, 1\]"):
        best_constant("cartpole-swingup", seeds=SEEDS, candidates=np.zeros((3, 2)))
