"""The published AC planner on a small predictor whose best plan is known."""

from __future__ import annotations

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.drift import Track
from foresight.diagnostics.planned import planned_displacement
from foresight.perception.ac_checkpoint import random_ac_predictor
from foresight.perception.ac_layers import ACConfig
from foresight.perception.ac_predictor import normalise
from foresight.planning.ac import FREE, ACDynamics, ACPlannerConfig, TokenEnergy, ac_planner
from foresight.planning.objective import Objective
from foresight.planning.solvers import imagine

N, D = 4, 16


@pytest.fixture(scope="module")
def predictor():
    small = random_ac_predictor(ACConfig(D, 64, 2, 1, 128, 2, 8), seed=0)
    with torch.no_grad():
        for name, weight in small.named_parameters():
            if weight.ndim == 2:  # large weights, so that five centimetres matter
                weight.mul_(200.0 if name.startswith("action") else 6.0)
    return small


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def scene(scenes=2, past=2):
    tokens = normalise(randn(scenes, (past + 1) * N, D))
    return tokens, 0.03 * randn(scenes, past, 7, seed=1), 0.3 * randn(scenes, past + 1, 7, seed=2)


@pytest.mark.parametrize("past", [0, 2])
@pytest.mark.parametrize("chunk", [2, 64])
def test_imagined_futures_are_rollouts(predictor, past, chunk):
    tokens, before, states = scene(past=past)
    dynamics = ACDynamics(predictor, chunk=chunk)
    if past:
        dynamics.remember(tokens[:, : past * N], before, states[:, :past])
    z0 = dynamics.state(tokens[:, past * N :], states[:, past])
    actions = 0.05 * randn(2, 5, 3, 4, seed=3)
    imagined = imagine(dynamics, z0, actions)
    assert imagined.shape == (1, 2, 5, 4, N * D + 7)
    for s in range(5):
        full = torch.zeros(2, 3, 7)
        full[..., FREE] = actions[:, s]
        expected = predictor.rollout(tokens, torch.cat([before, full], 1), states, cached=False)
        mine = imagined[0, :, s, 1:, : N * D].reshape(2, 3 * N, D)
        torch.testing.assert_close(mine, expected, atol=1e-5, rtol=0)
        position = states[:, past, :3] + actions[:, s, :, :3].sum(1)
        torch.testing.assert_close(imagined[0, :, s, -1, -7:-4], position)


def test_a_step_is_the_first_frame_of_a_future(predictor):
    tokens, _, states = scene(past=0)
    dynamics = ACDynamics(predictor)
    z0, actions = dynamics.state(tokens, states[:, 0]), 0.05 * randn(2, 1, 2, 4, seed=3)
    ahead = dynamics.imagine(z0, actions)
    torch.testing.assert_close(dynamics.step(z0, actions[:, 0, 0]), ahead[0, :, 0, 1])


def test_the_plan_comes_close_to_a_goal_that_known_actions_reach(predictor):
    tokens, before, states = scene()
    dynamics = ACDynamics(predictor)
    dynamics.remember(tokens[:, : 2 * N], before, states[:, :2])
    z0 = dynamics.state(tokens[:, 2 * N :], states[:, 2])
    known = 0.04 * randn(2, 1, 2, 4, seed=5).sign()
    goal = dynamics.imagine(z0, known)[0, :, 0, -1, : N * D].view(2, N, D)
    energy = TokenEnergy(goal)
    # Fewer samples than published, for a quick test.
    solver = ac_planner(dynamics, ACPlannerConfig(samples=100, iterations=6))
    plan = solver.plan(z0, Objective(energy))
    assert plan.actions.abs().max() <= 0.05
    others = 0.05 * (2 * torch.rand(2, 50, 2, 4, generator=torch.Generator().manual_seed(7)) - 1)
    others[:, 0] = 0  # doing nothing
    cost = energy.cost(dynamics.imagine(z0, others), others)
    assert (plan.cost < 0.5 * cost[:, 0]).all()
    assert (plan.cost < 0.5 * cost[:, 1:].median(1).values).all()
    found = energy.cost(dynamics.imagine(z0, plan.actions[:, None]), plan.actions[:, None])
    torch.testing.assert_close(found[:, 0], plan.cost, atol=1e-5, rtol=0)


def test_plans_find_the_recorded_displacement_again(predictor):
    tokens, _, _ = scene(1, past=0)
    dynamics = ACDynamics(predictor, free=range(7))
    action = torch.tensor([0.04, -0.04, 0.04, 0, 0, 0, 0.0])
    path = torch.arange(3)[:, None] * action
    now = dynamics.state(tokens, path[:1])
    seen = dynamics.imagine(now, action.expand(1, 1, 2, 7))[0, 0, 0, :, : N * D].view(3, N, D)
    clip = Track(seen, seen, torch.cat([action.expand(3, 7), path], dim=1))
    rows = planned_displacement(predictor, clip, 3, ACPlannerConfig(samples=100, iterations=6))
    found = {(row["measure"], row.get("condition")): row["value"] for row in rows}
    assert found["planned-error", "persistence"] == pytest.approx(0.08 * 3**0.5, rel=1e-4)
    assert found["planned-error", None] < 0.5 * found["planned-error", "persistence"]
    assert found["planned-cosine", None] > 0.8
    with pytest.raises(ForesightError, match="longer"):
        planned_displacement(predictor, Track(seen[:2], seen[:2], clip.controls[:2]), 1)


def test_the_defaults_are_the_published_ones(predictor):
    solver = ac_planner(ACDynamics(predictor))
    assert (solver.samples, solver.elites, solver.iterations, solver.horizon) == (400, 10, 10, 2)
    assert torch.equal(solver.high, torch.full((4,), 0.05)) and len(FREE) == 4


def test_too_long_a_future(predictor):
    tokens, before, states = scene()
    dynamics = ACDynamics(predictor)
    z0 = dynamics.state(tokens[:, 2 * N :], states[:, 2])
    with pytest.raises(ForesightError, match="too many"):
        dynamics.imagine(z0, torch.zeros(2, 1, 9, 4))
    dynamics.remember(tokens[:, : 2 * N], before, states[:, :2])
    with pytest.raises(ForesightError, match="room for 6"):
        dynamics.imagine(z0, torch.zeros(2, 1, 7, 4))
    dynamics.forget()
    assert dynamics.imagine(z0, torch.zeros(2, 1, 7, 4)).isfinite().all()
