"""Who tries which trust when, and what follows from what that earned."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.episode import Episode
from foresight.planning.config import ALONE
from foresight.training.trials import (
    SHARES,
    TrustTrials,
    earned,
    exploring,
    name_of,
    weight_of,
    weights_of,
)


def episode(earns: float, policy: str = "planner") -> Episode:
    action = np.zeros((2, 1), np.float32)
    reward = np.array([0, earns], np.float32)
    state = np.zeros((2, 0), np.float32)
    return Episode({}, state, action, reward, False, "task", 1.0, info={"policy": policy})


def test_half_of_a_rounds_scenes_try_every_trust_equally_often_and_the_others_explore():
    trials = TrustTrials(parallel=4, every=3, final=0)
    rounds = [trials.while_learning(own) for own in range(12)]
    assert [bool(each) for each in rounds] == [False, False, True] * 4
    tried = [choice for each in rounds for choice in each[:2]]
    assert sorted(tried) == sorted(2 * list(range(len(SHARES))))
    assert all(each[2:] == [None, None] for each in rounds if each)
    assert TrustTrials(parallel=1, every=1, final=0).while_learning(5) == [1]
    assert TrustTrials(parallel=4, every=0, final=0).while_learning(2) == []


def test_the_two_that_earned_most_are_tried_again_and_the_better_one_wins():
    trials = TrustTrials(parallel=8, every=0, final=4)
    assert trials.rounds == (2, 1)
    for index in range(2):
        tried = trials.at_the_end(index)
        assert sorted(tried) == sorted(2 * list(range(len(SHARES))))
        trials.add(tried, [episode({0: 5.0, 1: 9.0, 2: 8.0, 3: 1.0}[each]) for each in tried])
    again = trials.at_the_end(2)
    assert set(again) == {1, 2} and len(again) == 8
    trials.add(again, [episode({1: 3.0, 2: 8.0}[each]) for each in again])
    assert trials.ranked()[0] == 2
    assert len(trials.returns[1]) == len(trials.returns[2]) == 8


def test_of_trusts_that_earn_the_same_the_one_that_trusts_most_wins():
    trials = TrustTrials(parallel=4, every=0, final=1)
    tried = trials.at_the_end(0)
    trials.add(tried, [episode(0.0) for _ in tried])
    assert SHARES[trials.ranked()[0]] is None


def test_trust_is_counted_in_the_spread_of_values():
    tried = [0, 1, 3, None]
    found = weights_of(tried, spread=20.0, usual=0.5)
    torch.testing.assert_close(found, torch.tensor([0.0, SHARES[1] * 20, ALONE, 0.5]))
    assert weight_of(2, 10.0) == pytest.approx(2 * weight_of(2, 5.0))
    assert exploring(tried).tolist() == [False, False, False, True]


def test_what_trials_earned_is_told_by_their_names():
    names = [name_of(None), name_of(1), name_of(1), name_of(3)]
    assert names == ["planner", "trial:0.04", "trial:0.04", "trial:alone"]
    episodes = [episode(earns, name) for earns, name in zip((9, 1, 2, 4), names, strict=True)]
    assert earned(episodes) == {"trial/0.04": 1.5, "trial/alone": 4.0}
