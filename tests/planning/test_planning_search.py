"""What all solvers share: held actions, priors, traces, batches, refusals."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_worlds import Gains, Integrator

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.objective import Effort, GoalDistance, Objective
from foresight.planning.solvers import (
    CEM,
    ICEM,
    MPPI,
    NonFiniteFuturesError,
    PolicyPrior,
    RandomShooting,
    Refined,
    imagine,
    make_solver,
)

LOW, HIGH = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])
PLAIN = {
    "prior_samples": 0,
    "spread": 0.5,
    "min_std": 0.02,
    "temperature": 0.5,
    "judged": True,
}
KINDS = ("cem", "icem", "mppi", "shooting")


def solver(kind, dynamics=None, low=LOW, high=HIGH, prior=None, seed=0, **settings):
    small = {"samples": 64, "elites": 8, "iterations": 4, "horizon": 4} | PLAIN | settings
    return make_solver(
        MPCConfig(solver=kind, **small), dynamics or Integrator(), low, high, prior, seed
    )


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(0, 1000),
    st.floats(-3, 0),
    st.floats(0.1, 3),
    st.sampled_from([1, 2, 4]),
    st.booleans(),
)
def test_bounds_costs_elites_and_trace_hold_for_every_solver(kind, seed, low, high, hold, refined):
    low_t, high_t = torch.full((2,), low), torch.full((2,), high)
    z0, world = torch.randn(3, 2), Gains(0.9, 1.1)
    objective = Objective(GoalDistance(torch.ones(2)), Effort(0.1))
    found = solver(
        kind, world, low_t, high_t, seed=seed, hold=hold, refine_steps=2 if refined else 0
    )
    plan = found.plan(z0, objective)
    assert plan.actions.shape == (3, 4, 2)
    assert (plan.actions >= low_t - 1e-5).all() and (plan.actions <= high_t + 1e-5).all()
    blocks = plan.actions.unflatten(1, (-1, hold))
    torch.testing.assert_close(blocks, blocks[:, :, :1].expand_as(blocks))
    again = objective.cost(imagine(world, z0, plan.actions[:, None]), plan.actions[:, None])[:, 0]
    torch.testing.assert_close(plan.cost, again)
    elites = objective.cost(imagine(world, z0, plan.elites), plan.elites)
    torch.testing.assert_close(plan.elite_costs, elites)
    assert (plan.elite_costs.diff(dim=1) >= 0).all()
    assert (plan.elite_costs[:, 0] <= plan.cost + 1e-6).all()
    turns = (1 if kind == "shooting" else 4) + (2 if refined else 0)
    assert len(plan.trace) == turns
    lowest = torch.stack([seen.costs.amin(-1) for seen in plan.trace])
    torch.testing.assert_close(torch.stack([seen.best for seen in plan.trace]), lowest)
    for seen in plan.trace:
        assert seen.mean.shape == seen.deviation.shape == (3, 4 // hold, 2)
        torch.testing.assert_close(seen.spread, seen.deviation.mean((-2, -1)))


@pytest.mark.parametrize("kind", KINDS)
def test_scenes_do_not_touch_each_other(kind):
    """A scene's plan is as good beside others as alone, and each goes to its own goal."""
    goals = torch.tensor([[2.0, -1.0], [-3.0, 0.5], [0.0, 0.0]])
    plan = solver(kind, samples=400, elites=40, iterations=8).plan(
        torch.zeros(3, 2), Objective(GoalDistance(goals))
    )
    reached = plan.actions.sum(1)
    atol = 0.7 if kind == "shooting" else 0.3
    torch.testing.assert_close(reached, goals, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_plan(kind):
    found = solver(kind, seed=7)
    objective = Objective(GoalDistance(torch.ones(2)))

    def episode():
        found.seed(3)
        first = found.plan(torch.zeros(1, 2), objective)
        return found.plan(torch.zeros(1, 2), objective, first.actions).actions

    assert torch.equal(episode(), episode())


@pytest.mark.parametrize("kind", [*KINDS, "refined"])
def test_the_warm_start_is_among_the_candidates(kind):
    goal = torch.tensor([[4.0, 4.0]])
    found = solver("cem" if kind == "refined" else kind, refine_steps=2 * (kind == "refined"))
    plan = found.plan(torch.zeros(1, 2), Objective(GoalDistance(goal)), torch.ones(1, 4, 2))
    assert plan.elite_costs[0, 0] == 0


class Fixed:
    """Always proposes the same number."""

    def __init__(self, value):
        self.value = value
        self.asked = []

    def sample(self, z0, count, horizon, dynamics, generator):
        self.asked.append((count, horizon))
        return torch.full((len(z0), count, horizon, 2), self.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prior_that_knows_the_answer_is_believed(kind):
    world = Integrator()
    goal = torch.full((1, 2), 40.0)  # 10 steps of 4 in each direction, bounds at 4
    prior = Fixed(4.0)
    wide = {"low": 4 * LOW, "high": 4 * HIGH, "horizon": 10, "hold": 2}
    found = solver(kind, world, prior=prior, prior_samples=3, **wide)
    plan = found.plan(torch.zeros(1, 2), Objective(GoalDistance(goal)))
    assert plan.elite_costs[0, 0] == 0 and prior.asked == [(3, 10)]
    without = solver(kind, world, **wide).plan(torch.zeros(1, 2), Objective(GoalDistance(goal)))
    assert without.elite_costs[0, 0] > 1
    # The proposals are part of the first samples, and imagined no second time.
    assert plan.trace[0].costs.shape[1] == 64


def test_a_prior_outside_the_bounds_or_not_finite_is_brought_inside():
    for value in (9.0, float("nan")):
        plan = solver("shooting", prior=Fixed(value), prior_samples=64).plan(
            torch.zeros(1, 2), Objective(GoalDistance(torch.ones(2)))
        )
        assert plan.actions.isfinite().all() and (plan.actions.abs() <= 1).all()


def test_a_prior_of_the_wrong_shape():
    class Short:
        def sample(self, z0, count, horizon, dynamics, generator):
            return torch.zeros(len(z0), count, horizon - 1, 2)

    with pytest.raises(ForesightError, match=r"prior gave \[1, 2, 3, 2\] and must give \[1, 2, 4"):
        solver("cem", prior=Short(), prior_samples=2).plan(
            torch.zeros(1, 2), Objective(Effort(1.0))
        )


@pytest.mark.parametrize("world", [Integrator(), Gains(0.5, 1.5)])
def test_a_policy_prior_is_the_policy_rolled_out(world):
    prior = PolicyPrior(lambda z: -0.5 * z, LOW, HIGH, noise=0.3)
    generator = torch.Generator().manual_seed(0)
    z0 = torch.tensor([[1.0, -1.0], [0.5, 4.0]])
    actions = prior.sample(z0, 200, 3, world, generator)
    assert actions.shape == (2, 200, 3, 2) and (actions.abs() <= 1).all()
    state = z0
    for t in range(3):  # the mean of the two gains is 1, as is the integrator's
        expected = (-0.5 * state).clamp(-1, 1)
        torch.testing.assert_close(actions[:, 0, t], expected)
        state = state + expected
    # From the first step of all noisy samples: their spread is what was asked for.
    assert float(actions[0, 1:, 0].std(0).mean()) == pytest.approx(0.27, abs=0.04)
    with pytest.raises(ForesightError, match=r"noise of -0.1"):
        PolicyPrior(lambda z: z, LOW, HIGH, noise=-0.1)


def test_held_actions_and_a_warm_start_between_the_blocks():
    found = solver("cem", hold=2)
    start = torch.tensor([0.0, 1.0, 0.5, 0.5]).view(1, 4, 1).expand(1, 4, 2)
    assert found.to_decisions(start)[0, :, 0].tolist() == [0.5, 0.5]
    assert found.held(found.to_decisions(start))[0, :, 0].tolist() == [0.5] * 4


class Explodes:
    """Not finite where the first action is positive."""

    def step(self, z, action):
        return torch.where(action[..., :1] > 0, torch.nan, z + action)


@pytest.mark.parametrize("kind", KINDS)
def test_non_finite_candidates_lose_and_all_of_them_are_an_error(kind):
    found = solver(kind, Explodes(), samples=300, elites=4, horizon=3)
    objective = Objective(GoalDistance(torch.full((2,), -2.0)))
    plan = found.plan(torch.zeros(2, 2), objective)
    assert plan.cost.isfinite().all() and (plan.actions[..., 0] <= 0).all()
    assert plan.trace[-1].mean.isfinite().all()
    with pytest.raises(NonFiniteFuturesError, match="non-finite futures in scene 1"):
        found.plan(torch.tensor([[0.0, 0.0], [torch.nan, 0.0]]), objective)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: solver("cem", samples=10, elites=11), "CEM got 11 elites of 10"),
        (lambda: solver("icem", samples=10, elites=1), "ICEM got 1 elites of 10"),
        (lambda: solver("cem", iterations=0), "0 iterations"),
        (lambda: solver("cem", spread=0.0), "deviations 0.0"),
        (lambda: solver("cem", horizon=0), "got 0 and 64"),
        (lambda: solver("shooting", samples=0), "got 4 and 0"),
        (lambda: solver("cem", low=HIGH, high=LOW), "are no box"),
        (lambda: solver("cem", high=HIGH[:1]), "are no box"),
        (lambda: solver("cem", hold=3), "held for 3 steps do not fill a horizon of 4"),
        (lambda: solver("cem", prior=Fixed(0.0), prior_samples=65), "65 prior samples"),
        (lambda: solver("icem", beta=-1.0), "beta -1.0"),
        (lambda: solver("mppi", temperature=0.0), "temperature of 0.0"),
        (lambda: solver("cem", refine_steps=1, refine_count=0), "got 0 candidates"),
        (lambda: solver("cem", refine_steps=1, refine_rate=0.0), "rate 0.0"),
        (lambda: make_solver(MPCConfig(solver="best"), Integrator(), LOW, HIGH), "'best'"),  # type: ignore[arg-type]
        (
            lambda: solver("cem").plan(
                torch.zeros(1, 2), Objective(Effort(1.0)), torch.zeros(1, 3, 2)
            ),
            r"warm start is \[1, 3, 2\] and must be \[1, 4, 2\]",
        ),
    ],
)
def test_impossible_settings_are_one_sentence(make, message):
    with pytest.raises(ForesightError, match=message) as error:
        make()
    assert str(error.value).count(". ") == 0 and str(error.value).endswith(".")


def test_the_configurations_make_their_solvers():
    kinds = {"cem": CEM, "icem": ICEM, "mppi": MPPI, "shooting": RandomShooting}
    for kind, expected in kinds.items():
        found = make_solver(MPCConfig(solver=kind), Integrator(), LOW, HIGH)
        assert type(found) is expected and (found.samples, found.horizon) == (64, 5)
    source = make_solver(
        MPCConfig(samples=500, elites=50, iterations=5, horizon=8), Integrator(), LOW, HIGH
    )
    assert (source.samples, source.iterations, source.horizon) == (500, 5, 8)
    refined = make_solver(MPCConfig(refine_steps=3), Integrator(), LOW, HIGH)
    assert isinstance(refined, Refined) and (refined.steps, refined.horizon) == (3, 5)
