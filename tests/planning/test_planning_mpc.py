"""The planner: proposals, terms, warm starts, fallbacks, and models whose episodes end."""

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.planning.config import ALONE, TRUST, MPCConfig
from foresight.planning.mpc import MPCPlanner, return_of
from foresight.planning.objective import GoalDistance, ImaginedReturn
from foresight.planning.solvers import shift
from joint_worlds import tiny

SIZES = {"horizon": 3, "samples": 16, "elites": 4, "iterations": 2, "prior_samples": 5}
NEAR = torch.tensor([[0.5, -0.3]])


class Integrator:
    """Actions move the state by themselves."""

    def step(self, z, action):
        return z + action


def planner(dynamics=None, guided=True, **changes):
    """A search towards the origin, and the states that its policy was asked in."""
    asked = []

    def policy(z):
        asked.append(z.clone())
        return (-z).clamp(-1, 1)

    config = MPCConfig(**{**SIZES, **changes})
    terms = [GoalDistance(torch.zeros(2))]
    propose = policy if guided else None
    return MPCPlanner(dynamics or Integrator(), 2, config, terms, propose), asked


def test_the_proposal_is_a_candidate_rolled_out_once_and_a_heavy_weight_holds_to_it():
    found, asked = planner(prior_weight=1e6)
    action = found.plan(NEAR)
    assert len(asked) == 3
    wanted, state = [], NEAR
    for _ in range(3):
        wanted.append((-state).clamp(-1, 1))
        state = state + wanted[-1]
    torch.testing.assert_close(found.latest.elites[:, 0], torch.stack(wanted, 1))
    torch.testing.assert_close(action, wanted[0], atol=1e-3, rtol=0)


def test_proposals_are_drawn_anew_for_every_decision():
    found, asked = planner()
    found.plan(NEAR)
    first = found._drawn.candidates
    found.plan(NEAR)
    assert len(asked) == 6
    torch.testing.assert_close(found._drawn.candidates[:, 0], first[:, 0])
    assert (found._drawn.candidates[:, 1:] != first[:, 1:]).any()


@pytest.mark.parametrize("solver", ["mppi", "cem", "icem", "shooting"])
def test_every_solver_goes_to_the_goal_without_a_prior(solver):
    found, _ = planner(guided=False, solver=solver, samples=300, elites=30, iterations=5)
    first = found.plan(torch.tensor([[2.0, -2.0]]))
    assert float(first[0, 0]) < -0.4 and float(first[0, 1]) > 0.4
    found.reset(3)
    again = found.plan(torch.tensor([[2.0, -2.0]]))
    found.reset(3)
    torch.testing.assert_close(found.plan(torch.tensor([[2.0, -2.0]])), again)


def test_terms_can_be_those_of_one_decision():
    found, _ = planner(guided=False, samples=200, elites=20, iterations=4)
    there = found.plan(torch.zeros(1, 2), [GoalDistance(torch.tensor([3.0, 3.0]))])
    assert (there > 0.5).all()


class Broken(Integrator):
    broken = False

    def step(self, z, action):
        return (z + action) * (torch.nan if self.broken else 1)


@pytest.mark.parametrize("guided", [True, False])
def test_where_nothing_finite_is_imagined_the_last_plan_goes_on(guided):
    world = Broken()
    found, _ = planner(world, guided)
    found.plan(NEAR)
    planned = found.last.clone()
    world.broken = True
    with pytest.warns(RuntimeWarning, match="goes on with its last good plan"):
        torch.testing.assert_close(found.plan(NEAR), planned[:, 1])
    torch.testing.assert_close(found.plan(NEAR), shift(planned, 2)[:, 0])  # said once
    assert found.fallbacks == 2
    found.reset()
    assert found.plan(NEAR).isfinite().all()
    assert found.fallbacks == 1


def test_a_planner_without_a_model_says_so():
    with pytest.raises(ForesightError, match="was given no world model"):
        planner()[0].act(torch.zeros(1, 3))


def test_the_imagined_return_is_that_of_a_plain_loop():
    """Members, candidates, steps, and the chance that the episode still goes on."""
    torch.manual_seed(0)
    imagined, actions = torch.rand(2, 1, 3, 5, 4), torch.rand(1, 3, 4, 2)

    def reward(z, a):
        return z[..., 0] + a[..., 0]

    def value(z):
        return torch.stack([z.sum(-1), 3 * z.sum(-1)])

    def goes_on(z, a):
        return z[..., 1]

    cost = ImaginedReturn(reward, value, 0.9, goes_on).cost(imagined, actions)
    plain = ImaginedReturn(reward, value, 0.9).cost(imagined, actions)
    for sample in range(3):
        totals = {True: 0.0, False: 0.0}
        for ends in totals:
            for member in range(2):
                z, a, alive = imagined[member, 0, sample], actions[0, sample], 1.0
                for t in range(4):
                    totals[ends] += alive * 0.9**t * float(z[t, 0] + a[t, 0]) / 2
                    alive *= float(z[t, 1]) if ends else 1.0
                totals[ends] += alive * 0.9**4 * 2 * float(z[4].sum()) / 2
        assert float(cost[0, sample]) == pytest.approx(-totals[True], rel=1e-5)
        assert float(plain[0, sample]) == pytest.approx(-totals[False], rel=1e-5)


def test_a_model_with_a_continuation_head_counts_nothing_after_an_end():
    model = tiny(continuation=True).eval()
    with torch.no_grad():
        model.reward.net[-1].bias.copy_(torch.linspace(-9, 9, len(model.reward.net[-1].bias)))
    imagined, actions = torch.rand(3, 1, 2, 4, 32), torch.rand(1, 2, 3, 2)

    def promised():
        return -return_of(model).cost(imagined, actions)

    with torch.no_grad():
        torch.nn.init.constant_(model.continuation.net[-1].bias, 50.0)
        whole = promised()
        torch.nn.init.constant_(model.continuation.net[-1].bias, -50.0)
        first = model.reward(imagined[..., 0, :], actions[..., 0, :].expand(3, -1, -1, -1)).mean(0)
        torch.testing.assert_close(promised(), first, atol=1e-4, rtol=1e-4)
    assert (whole > first).all()


def test_planning_does_not_change_with_later_training():
    model = tiny().eval()
    features = torch.randn(2, model.features, generator=torch.Generator().manual_seed(0))
    found = MPCPlanner.of(model, MPCConfig(samples=8, elites=4, iterations=1, prior_samples=2), 1)
    first = found.act(features)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    found.reset(1)
    torch.testing.assert_close(found.act(features), first)


@pytest.mark.parametrize(
    "said, tried, trust", [(None, None, TRUST), (None, 0.7, 0.7), (0.0, 0.7, 0.0), (2, None, 2)]
)
def test_the_user_decides_about_trust_and_else_what_the_model_tried(said, tried, trust):
    model = tiny(trust=tried)
    assert MPCPlanner.of(model, MPCConfig(**SIZES, prior_weight=said)).trust == trust


def test_where_the_prior_acts_alone_nothing_is_searched_for():
    found, _ = planner(prior_weight=ALONE)
    action = found.plan(NEAR)
    torch.testing.assert_close(action, (-NEAR).clamp(-1, 1))
    assert found.latest is None


def test_each_scene_has_its_own_trust_and_noise():
    model = tiny()
    z = torch.softmax(torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(1)), 1)
    z = z.flatten(1).expand(3, -1)
    config = MPCConfig(**SIZES, prior_weight=0.0)
    proposed = MPCPlanner.of(model, MPCConfig(**SIZES, prior_weight=ALONE)).plan(z)
    search = MPCPlanner.of(model, config, seed=3)
    search.trust = torch.tensor([0.0, ALONE, 0.0])
    action = search.plan(z, explore=torch.tensor([False, False, True]))
    torch.testing.assert_close(action[1], proposed[1], atol=0.02, rtol=0)
    quiet = MPCPlanner.of(model, config, seed=3)
    quiet.trust = torch.tensor([0.0, ALONE, 0.0])
    still = quiet.plan(z)
    torch.testing.assert_close(action[:2], still[:2])
    assert (action[2] != still[2]).any()
    assert float((action[0] - proposed[0]).abs().max()) > 0.02
