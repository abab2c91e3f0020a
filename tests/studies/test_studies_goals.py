"""The nearest of many goals, against a plain loop."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.planning.objective import GoalDistance
from studies.goals import NearestGoal
from studies.whitening import Whitening


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 2), st.integers(1, 4), st.integers(1, 5), st.booleans())
def test_the_distance_equals_a_loop(members, scenes, samples, goals, whitened):
    torch.manual_seed(members + 7 * goals)
    imagined, many = torch.randn(members, scenes, samples, 3, 4), torch.randn(goals, 4)
    scale = torch.rand(4) + 0.5 if whitened else torch.ones(4)
    units = Whitening(torch.diag(scale)) if whitened else None
    cost = NearestGoal(many, 2.0, units).cost(imagined, torch.zeros(scenes, samples, 2, 1))
    for b in range(scenes):
        for s in range(samples):
            ends = [imagined[e, b, s, -1] for e in range(members)]
            near = [min(float(((z - g) * scale).norm()) for g in many) for z in ends]
            assert float(cost[b, s]) == pytest.approx(2 * sum(near) / members, rel=1e-3, abs=1e-3)


def test_one_goal_is_the_plain_goal_distance():
    imagined, actions = torch.randn(2, 1, 6, 4, 5), torch.zeros(1, 6, 3, 1)
    goal = torch.randn(5)
    expected = GoalDistance(goal).cost(imagined, actions)
    found = NearestGoal(goal[None]).cost(imagined, actions)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_no_goals_are_refused():
    with pytest.raises(ForesightError, match="cannot be aimed at"):
        NearestGoal(torch.zeros(0, 3))
