"""The search for the best constant action."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from bodies import named, spec_of_task
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Axis
from foresight.envs.registry import EnvConfig
from foresight.evaluation.constant import best_constant, constant_name, default_candidates

SEEDS = (10_000, 10_001)
CARTPOLE = EnvConfig("cartpole-swingup", cameras=())


def test_the_winner_is_the_best_of_the_candidates():
    candidates = np.array([[0.0], [0.5], [1.0]])
    action, mean = best_constant(CARTPOLE, SEEDS, candidates)
    alone = [best_constant(CARTPOLE, SEEDS, c[None])[1] for c in candidates]
    assert mean == max(alone)
    assert action == candidates[int(np.argmax(alone))]
    assert mean > alone[0] + 5  # doing nothing leaves the pole hanging


def test_candidates_begin_with_zero_and_stay_within_bounds():
    for task in ("cartpole-swingup", "reacher-easy", "quadruped-walk"):
        spec = spec_of_task(task)
        found = default_candidates(spec)
        assert not found[0].any()
        assert ((found >= spec.low) & (found <= spec.high)).all()
        assert np.array_equal(found, default_candidates(spec))


def test_up_to_three_numbers_are_tried_alone_and_together_at_their_own_bounds():
    axes = tuple(Axis(name, None, low, high) for name, low, high in [("a", -0.6, 0.6), ("b", 0, 9)])
    spec = replace(spec_of_task("cartpole-swingup"), action=axes)
    found = {tuple(action) for action in default_candidates(spec).round(3).tolist()}
    assert len(found) == 81  # zero is among them
    assert {(-0.6, 0.0), (0.6, 9.0), (0.0, 4.5), (0.15, 1.125)} <= {
        tuple(round(v, 3) for v in action) for action in found
    }
    three = replace(spec, action=(*axes, Axis("c", None, -1.0, 1.0)))
    found = {tuple(round(v, 3) for v in action) for action in default_candidates(three).tolist()}
    assert len(found) == 125 and {(0.3, 0.0, 0.0), (0.0, 0.0, -1.0), (0.6, 9.0, 1.0)} <= found


def test_the_winner_has_a_name():
    name = constant_name(np.float32([0.5, -0.25]))
    assert name == "constant:0.5,-0.25"
    assert named(name).act(Observation()).tolist() == [0.5, -0.25]


def test_evaluation_seeds_and_wrong_candidates_are_refused():
    for seeds in ([0, 1], []):
        with pytest.raises(ForesightError, match="from 10000 on"):
            best_constant(CARTPOLE, seeds)
    with pytest.raises(ForesightError, match=r"\[N, 1\]"):
        best_constant(CARTPOLE, SEEDS, np.zeros((3, 2)))
