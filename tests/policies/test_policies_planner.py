"""The closed loop on toy eyes and a toy world whose best action is known."""

import warnings

import numpy as np
import pytest
import torch

from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import CEM
from foresight.policies.latent import PolicyAgent
from foresight.policies.planner import PlanningAgent
from foresight.policies.sight import Sight
from foresight.worldmodel.config import StateEncoderConfig
from foresight.worldmodel.state import LinearState

LOW, HIGH = torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])


class ToyStream:
    """The first two pixels are the state; counts how often it encodes."""

    def __init__(self):
        self.calls = 0

    def reset(self):
        pass

    def push(self, frame):
        self.calls += 1
        return frame[0, :2, 0].astype(np.float32) / 10


class ToyDynamics:
    def step(self, z, action):
        return z + action


def observation(x, y):
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[0, 0], frame[0, 1] = x, y
    return {"images": {"camera": frame}}


def agent(goals):
    solver = CEM(ToyDynamics(), LOW, HIGH, horizon=4, samples=200, elites=20, iterations=6)
    sight = Sight(ToyStream(), LinearState(StateEncoderConfig("raw"), 2))
    return PlanningAgent(sight, solver, lambda seed: Objective(GoalDistance(goals[seed])))


def test_goes_to_the_goal_of_its_seed_and_encodes_each_frame_once():
    goals = {0: torch.tensor([20.0, 20.0]), 1: torch.tensor([-20.0, -20.0])}
    planner = agent(goals)
    for seed, sign in ((0, 1), (1, -1)):
        planner.seed(seed)
        planner.reset(observation(0, 0))
        action = planner.act(observation(0, 0))
        assert action.dtype == np.float32 and action.shape == (2,)
        assert (sign * action > 0.8).all()
    assert planner.sight.stream.calls == 2


class FailingDynamics:
    """Gives NaN while ``broken``."""

    broken = False

    def step(self, z, action):
        return z + action * (float("nan") if self.broken else 1.0)


def failing_agent():
    world = FailingDynamics()
    solver = CEM(world, LOW, HIGH + 1, horizon=3, samples=50, elites=5, iterations=2)
    sight = Sight(ToyStream(), LinearState(StateEncoderConfig("raw"), 2))
    objective = Objective(GoalDistance(torch.tensor([20.0, 20.0])))
    return PlanningAgent(sight, solver, lambda seed: objective), world


def test_nan_from_the_dynamics_goes_on_with_the_last_good_plan_and_warns_once():
    planner, world = failing_agent()
    planner.seed(0)
    planner.reset(observation(0, 0))
    planner.act(observation(0, 0))
    good = planner.plan.actions[0].numpy()
    world.broken = True
    with pytest.warns(
        RuntimeWarning, match="goes on with its last good plan: .*non-finite"
    ) as told:
        found = [planner.act(observation(0, 0)) for _ in range(4)]
    assert len(told) == 1
    np.testing.assert_array_equal(found, good[[1, 2, 2, 2]])  # the last action is repeated
    assert planner.notes()["planner_fallbacks"] == 4
    world.broken = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        planner.act(observation(0, 0))
        planner.reset(observation(0, 0))
    assert planner.fallbacks == 0 and "planner_fallbacks" not in planner.notes()


def test_nan_from_the_start_takes_the_middle_of_the_bounds():
    planner, world = failing_agent()
    world.broken = True
    planner.seed(0)
    planner.reset(observation(0, 0))
    with pytest.warns(RuntimeWarning, match="goes on with the middle of the bounds"):
        np.testing.assert_array_equal(planner.act(observation(0, 0)), [0.5, 0.5])


def test_same_seed_same_actions_whatever_came_before():
    planner = agent({0: torch.ones(2), 1: torch.ones(2)})

    def episode(seed):
        planner.seed(seed)
        planner.reset(observation(0, 0))
        return np.stack([planner.act(observation(t, t)) for t in range(4)])

    first = episode(0)
    episode(1)
    np.testing.assert_array_equal(first, episode(0))


def test_notes_measure_the_distance_to_the_goal():
    planner = agent({0: torch.tensor([1.0, 0.0])})
    planner.seed(0)
    planner.reset(observation(0, 0))
    for x in (0, 10, 20):
        planner.act(observation(x, 0))
    notes = planner.notes()
    assert notes == {"latent_initial": 1.0, "latent_final": 1.0, "latent_min": 0.0}


def test_sight_stacks_its_history_as_in_training():
    latent = LinearState(StateEncoderConfig("raw", history=3, stride=2), 2)
    sight = Sight(ToyStream(), latent)
    frames = [observation(10 * t, 0)["images"]["camera"] for t in range(7)]
    sight.reset()
    live = torch.cat([sight.see(frame) for frame in frames])
    features = torch.tensor([[float(t), 0.0] for t in range(7)])
    torch.testing.assert_close(live, latent.episode(features))


def test_policy_agent_acts_on_the_present_state():
    class Policy:
        def reset(self):
            pass

        def select_action(self, z):
            return -z

    sight = Sight(ToyStream(), LinearState(StateEncoderConfig("raw"), 2))
    actor = PolicyAgent(sight, Policy())
    actor.reset(observation(0, 0))
    np.testing.assert_allclose(actor.act(observation(5, 1)), [-0.5, -0.1])
