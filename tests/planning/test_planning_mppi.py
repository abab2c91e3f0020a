import pytest
import torch
from naive_worlds import Integrator

from foresight.planning.config import MPCConfig
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import MPPI
from foresight.planning.solvers.ranking import Ranked

LOW, HIGH = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])


def mppi(world=None, **settings):
    plain = {"horizon": 3, "samples": 32, "elites": 8, "iterations": 2}
    plain |= {"temperature": 0.5, "spread": 0.5, "min_std": 0.02, "judged": True}
    return MPPI(MPCConfig(**plain | settings), world or Integrator(), LOW, HIGH)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_weights_equal_a_naive_sum(temperature):
    solver = mppi(temperature=temperature)
    ranked = Ranked(torch.randn(2, 8, 3, 2), torch.rand(2, 8).sort().values)
    mean, deviation = solver._refit(ranked, torch.zeros(2, 3, 2), torch.ones(2, 3, 2))
    for b in range(2):
        weight = [
            float(torch.exp(-(cost - ranked.costs[b, 0]) / temperature)) for cost in ranked.costs[b]
        ]
        total = sum(weight)
        expected = sum(w / total * a for w, a in zip(weight, ranked.actions[b], strict=True))
        spread = sum(
            w / total * (a - expected) ** 2 for w, a in zip(weight, ranked.actions[b], strict=True)
        )
        torch.testing.assert_close(mean[b], expected)
        torch.testing.assert_close(deviation[b], spread.sqrt().clamp(min=0.02))


def test_a_cold_mppi_follows_the_best_and_a_hot_one_the_mean():
    objective = Objective(GoalDistance(torch.ones(2)))
    cold = mppi(temperature=1e-6, iterations=1).plan(torch.zeros(1, 2), objective)
    torch.testing.assert_close(cold.trace[0].mean, cold.elites[:, 0])
    hot = mppi(temperature=1e6, iterations=1, elites=32, seed=1).plan(torch.zeros(1, 2), objective)
    assert hot.trace[0].mean.abs().max() < 0.3  # near the middle, where it was sampled from


def test_the_answer_is_the_mean():
    mean = mppi().plan(torch.zeros(1, 2), Objective(GoalDistance(torch.ones(2))))
    torch.testing.assert_close(mean.actions, mean.trace[-1].mean)


def test_an_unjudged_mean_is_the_same_plan_without_its_own_future():
    asked = []

    class Counting(Integrator):
        def step(self, z, action):
            asked.append(action.shape)
            return super().step(z, action)

    objective = Objective(GoalDistance(torch.ones(2)))
    judged = mppi().plan(torch.zeros(1, 2), objective)
    solver = mppi(Counting(), judged=False)
    plan = solver.plan(torch.zeros(1, 2), objective)
    torch.testing.assert_close(plan.actions, judged.actions)
    assert len(asked) == 2 * 3  # iterations times horizon
    assert plan.cost == plan.elite_costs[:, 0]


def test_a_mean_that_is_not_finite_gives_way_to_the_best():
    class Hole:
        """Fine on both sides, a hole between them."""

        def step(self, z, action):
            return torch.where(action[..., :1].abs() < 0.2, torch.nan, z + action)

    solver = mppi(Hole(), horizon=1, samples=200, elites=200, iterations=1, temperature=1e6)
    plan = solver.plan(torch.zeros(1, 2), Objective(GoalDistance(torch.zeros(2))))
    assert plan.trace[0].mean[0, 0, 0].abs() < 0.2
    assert plan.cost.isfinite().all() and plan.actions[0, 0, 0].abs() >= 0.2
