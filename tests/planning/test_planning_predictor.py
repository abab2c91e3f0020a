"""What a planner is told by a frame-causal predictor, and that it finds what can be imagined."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.perception.ac_data import ACRobot
from foresight.planning.lewm import BlockPlanner, LeWMPlan
from foresight.planning.predictor import PredictorDynamics
from foresight.planning.solvers import imagine
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import PredictorConfig
from foresight.worldmodel.predictor.network import FramePredictor
from made_up_frames import SIZES

EVERY = 2


def world(**changes):
    """A predictor of random weights that moves, for a robot of two numbers."""
    torch.manual_seed(0)
    network = FramePredictor(replace(SIZES, output="free", **changes))
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    axes = tuple(Axis(name, low=low, high=2.0) for name, low in (("x", -2.0), ("y", 0.0)))
    robot = ACRobot("camera", EVERY, (), (0.5, 1.0), (2.0, 0.5), (0.0,) * 3, (1.0,) * 3)
    config = PredictorConfig(sizes=network.sizes, robot=robot, spec=Spec(action=axes))
    return TrainedPredictor(network.eval().requires_grad_(False), config)


@pytest.mark.parametrize("states", [0, 3])
def test_futures_are_the_predictors_own_rollouts(states):
    trained = world(states=states)
    dynamics = PredictorDynamics(trained, torch.float32)
    seen, done = torch.randn(1, 3, 32 + states), torch.rand(1, 2, 4) * 2 - 1
    actions = torch.rand(1, 40, 4, 2) * 2 - 1  # more candidates than are imagined at once
    dynamics.remember(seen, done)
    future = imagine(dynamics, seen[:, -1], actions)
    assert future.shape == (1, 1, 40, 3, 32)
    # The 37th: its actions in the robot's units, averaged over blocks and standardised by hand.
    blocks = torch.cat([done[0].view(2, 2, 2), actions[0, 36].view(2, 2, 2)])
    units = torch.stack([2 * blocks[..., 0], 1 + blocks[..., 1]], -1).mean(1)
    told = (units - torch.tensor([0.5, 1.0])) / torch.tensor([2.0, 0.5])
    felt = seen[..., 32:] if states else None
    tokens = seen[..., :32].view(1, 3, 4, 8)
    plain = trained.network.rollout(tokens, told[None], felt, cached=False)
    torch.testing.assert_close(future[0, 0, 36, 1:], plain[0].flatten(1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(future[0, 0, 36, 0], seen[0, -1, :32])
    dynamics.remember(seen[:, -1:], done[:, :0])  # the first decision knows no past
    assert not torch.allclose(imagine(dynamics, seen[:, -1], actions), future, atol=1e-3)


def test_a_goal_that_can_be_imagined_is_found():
    dynamics = PredictorDynamics(world(), torch.float32)
    seen, done = torch.randn(1, 35), torch.zeros(0, 4)
    wanted = torch.tensor([[0.8, -0.6], [0.8, -0.6], [-0.7, 0.5], [-0.7, 0.5]])
    dynamics.remember(seen[None], done[None])
    goal = imagine(dynamics, seen, wanted[None, None])[0, 0, 0, -1].clone()
    plan = LeWMPlan(blocks=2, samples=128, elites=16, iterations=12, held=True)
    planner = BlockPlanner(dynamics, plan)
    planner.reset(0)
    planner.plan(seen, done, goal)
    assert planner.last.cost < 0.2 * planner.last.trace[0].costs.median()


def test_actions_need_bounds():
    trained = world()
    endless = Spec(action=tuple(Axis(name) for name in "xy"))
    unbounded = TrainedPredictor(trained.network, replace(trained.config, spec=endless))
    with pytest.raises(ForesightError, match="has no bounds"):
        PredictorDynamics(unbounded)
