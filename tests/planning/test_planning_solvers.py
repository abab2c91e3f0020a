"""Solvers on problems whose best plan is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_worlds import Integrator

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.objective import Effort, GoalDistance, ImaginedReturn, Objective
from foresight.planning.solvers import CEM, RandomShooting, imagine, shift

LOW, HIGH = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])


PLAIN = {"spread": 0.5, "min_std": 0.02}


def cem(world=None, low=LOW, high=HIGH, **settings):
    return CEM(MPCConfig(**PLAIN | settings), world or Integrator(), low, high)


def shooting(low=LOW, high=HIGH, **settings):
    return RandomShooting(MPCConfig(**settings), Integrator(), low, high)


def test_imagine_equals_a_naive_loop():
    z0, actions = torch.randn(2, 2), torch.randn(2, 5, 3, 2)
    imagined = imagine(Integrator(), z0, actions)
    assert imagined.shape == (1, 2, 5, 4, 2)
    for b in range(2):
        for s in range(5):
            state = z0[b]
            assert torch.equal(imagined[0, b, s, 0], state)
            for t in range(3):
                state = state + actions[b, s, t]
                torch.testing.assert_close(imagined[0, b, s, t + 1], state)


def test_cem_reaches_a_goal_that_is_reachable_exactly():
    z0 = torch.zeros(2, 2)
    goal = torch.tensor([[2.0, -1.0], [-3.0, 0.5]])
    solver = cem(horizon=5, samples=300, elites=30, iterations=10)
    plan = solver.plan(z0, Objective(GoalDistance(goal)))
    torch.testing.assert_close(plan.actions.sum(1), goal, atol=0.15, rtol=0)
    assert len(plan.trace) == 10
    assert (plan.trace[-1].elite < plan.trace[0].elite).all()


def test_cem_beats_random_shooting_at_equal_samples():
    goal = torch.tensor([[4.0, -4.0]])
    objective = Objective(GoalDistance(goal))
    z0 = torch.zeros(1, 2)
    refitted = cem(horizon=5, samples=200, elites=20, iterations=5).plan(z0, objective)
    drawn = shooting(horizon=5, samples=1000).plan(z0, objective)
    assert refitted.cost < 0.5 * drawn.cost


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(-3, 0), st.floats(0.1, 3))
def test_actions_stay_within_bounds_and_cost_is_that_of_the_actions(seed, low, high):
    low_t, high_t = torch.full((2,), low), torch.full((2,), high)
    z0 = torch.randn(3, 2)
    objective = Objective(GoalDistance(torch.zeros(2)), Effort(0.1))
    for solver in (
        cem(None, low_t, high_t, horizon=4, samples=32, elites=8, iterations=3, seed=seed),
        shooting(low_t, high_t, horizon=4, samples=32, seed=seed),
    ):
        plan = solver.plan(z0, objective, warm_start=low_t.expand(3, 4, 2))
        assert (plan.actions >= low_t - 1e-6).all() and (plan.actions <= high_t + 1e-6).all()
        again = objective.cost(
            imagine(Integrator(), z0, plan.actions[:, None]), plan.actions[:, None]
        )[:, 0]
        torch.testing.assert_close(plan.cost, again)


def test_the_warm_start_is_never_lost():
    goal = torch.tensor([[5.0, 5.0]])
    perfect = torch.ones(1, 5, 2)
    objective = Objective(GoalDistance(goal))
    for solver in (
        cem(horizon=5, samples=20, elites=5, iterations=2),
        shooting(horizon=5, samples=20),
    ):
        assert solver.plan(torch.zeros(1, 2), objective, perfect).cost == 0


def test_same_seed_same_plan():
    plans = [
        cem(horizon=4, samples=64, elites=8, iterations=3, seed=7).plan(
            torch.zeros(1, 2), Objective(GoalDistance(torch.ones(2)))
        )
        for _ in range(2)
    ]
    assert torch.equal(plans[0].actions, plans[1].actions)


def test_shift_drops_the_first_and_repeats_the_last():
    actions = torch.arange(3.0).reshape(1, 3, 1)
    assert shift(actions).flatten().tolist() == [1, 2, 2]


def test_predicted_reward_equals_a_naive_sum_and_uses_the_state_acted_in():
    imagined, actions = torch.randn(1, 2, 3, 5, 2), torch.randn(2, 3, 4, 2)
    cost = ImaginedReturn(lambda z, a: (z * a).sum(-1), weight=2.0, discount=0.9).cost(
        imagined, actions
    )
    for b in range(2):
        for s in range(3):
            total = sum(
                0.9**t * float((imagined[0, b, s, t] * actions[b, s, t]).sum()) for t in range(4)
            )
            assert float(cost[b, s]) == pytest.approx(-2 * total, rel=1e-4)


def test_non_finite_candidates_lose_and_all_non_finite_is_an_error():
    class Explodes:
        def step(self, z, action):
            return torch.where(action[..., :1] > 0, torch.nan, z + action)

    solver = cem(Explodes(), horizon=3, samples=200, elites=10, iterations=3)
    plan = solver.plan(torch.zeros(1, 2), Objective(GoalDistance(torch.full((2,), -2.0))))
    assert plan.cost.isfinite().all()
    assert (plan.actions[..., 0] <= 0).all()
    with pytest.raises(ForesightError, match="non-finite futures"):
        solver.plan(torch.full((1, 2), torch.nan), Objective(GoalDistance(torch.zeros(2))))
