import pytest
import torch
from naive_worlds import Gains, Integrator, random_network

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.fast import FastDynamics
from foresight.planning.objective import Effort, GoalDistance, Objective
from foresight.planning.solvers import RandomShooting, Refined

LOW, HIGH = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0])


def shooting(dynamics, hold=1, **refine):
    config = MPCConfig(horizon=4, samples=20, hold=hold, **refine)
    return RandomShooting(config, dynamics, LOW, HIGH)


def refined(world, hold=1, plain=None, *, count, steps=5, rate=0.05):
    settings = {"refine_count": count, "refine_steps": steps, "refine_rate": rate}
    return Refined(shooting(world, hold, **settings), plain)


@pytest.mark.parametrize("hold", [1, 2])
def test_refined_plans_are_never_worse_and_usually_much_better(hold):
    objective = Objective(GoalDistance(torch.tensor([[2.0, -3.0], [-1.0, 1.0]])), Effort(0.01))
    world = Gains(0.9, 1.1)
    before = shooting(world, hold).plan(torch.zeros(2, 2), objective)
    solver = refined(world, hold, count=4, steps=20, rate=0.1)
    after = solver.plan(torch.zeros(2, 2), objective)
    assert (after.cost < 0.7 * before.cost).all() and len(after.trace) == 21
    assert (after.actions >= LOW).all() and (after.actions <= HIGH).all()
    # A step far too large makes the refined candidates worse: the search's own stays.
    wild = refined(world, hold, count=4, steps=1, rate=50.0)
    assert (wild.plan(torch.zeros(2, 2), objective).cost <= before.cost).all()


def test_one_step_is_adams():
    world, objective = Integrator(), Objective(GoalDistance(torch.tensor([9.0, 9.0])))
    before = shooting(world).plan(torch.zeros(1, 2), objective)
    after = refined(world, count=1, steps=1, rate=0.05).plan(torch.zeros(1, 2), objective)
    # Adam's first step is the rate in the direction of each sign, here half the range upwards.
    expected = (before.elites[:, :1] + 0.05 * HIGH).clamp(LOW, HIGH)
    torch.testing.assert_close(after.actions[:, None], expected, atol=1e-5, rtol=0)


def test_refinement_within_inference_mode_and_through_a_network():
    network = random_network()
    solver = refined(network, count=3, steps=3)
    with torch.inference_mode():  # as an agent acts
        plan = solver.plan(torch.randn(2, 8), Objective(GoalDistance(torch.randn(8))))
    assert plan.cost.isfinite().all() and len(plan.trace) == 4
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_search_on_the_fast_dynamics_refined_on_the_plain_one():
    network = random_network()
    objective = Objective(GoalDistance(torch.ones(8)))
    fast = FastDynamics([network], torch.float32)
    with pytest.raises(ForesightError, match="give no gradient"):
        refined(fast, count=3).plan(torch.zeros(1, 8), Objective(Effort(1.0)))
    before = shooting(fast).plan(torch.zeros(1, 8), objective)
    after = refined(fast, plain=network, count=3, steps=5).plan(torch.zeros(1, 8), objective)
    assert after.cost < before.cost


def test_a_candidate_that_leaves_the_finite_world_does_not_spoil_the_others():
    class Edge:
        def step(self, z, action):
            return torch.where(z > 2, torch.nan, z + action)

    objective = Objective(GoalDistance(torch.tensor([9.0, 9.0])))
    plan = refined(Edge(), count=6, steps=10, rate=0.3).plan(torch.zeros(1, 2), objective)
    assert plan.cost.isfinite().all() and plan.actions.isfinite().all()
