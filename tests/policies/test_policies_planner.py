"""The closed loop on toy eyes and a toy world whose best action is known."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from foresight.core.observation import Observation
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import GoalDistance
from foresight.policies.delayed.compensator import DelayCompensator
from foresight.policies.delayed.queue import Delays
from foresight.policies.latent import LatentObserver, NetworkPolicy
from foresight.policies.planner import PlanningPolicy
from foresight.worldmodel.config import StateEncoderConfig
from foresight.worldmodel.state import LinearState


class ToyEyes:
    """The first two pixels are the state; counts how often it encodes."""

    cameras = ("camera",)

    def __init__(self, state):
        self.state, self.calls = state, 0

    def reset(self):
        pass

    def see(self, pictures, felt):
        self.calls += 1
        (frames,) = pictures.values()
        return torch.from_numpy(frames[:, 0, :2, 0].astype(np.float32) / 10)


def toy():
    return LatentObserver(ToyEyes(LinearState(StateEncoderConfig("raw"), 2)))


class ToyDynamics:
    def step(self, z, action):
        return z + action


def observation(x, y):
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[0, 0], frame[0, 1] = x, y
    return Observation({"camera": frame})


def agent(goals):
    search = MPCConfig(solver="cem", horizon=4, samples=200, elites=20, iterations=6)
    planner = MPCPlanner(ToyDynamics(), 2, search)
    return PlanningPolicy(toy(), planner, lambda seed: [GoalDistance(goals[seed])])


def test_goes_to_the_goal_of_its_seed_and_encodes_each_frame_once():
    goals = {0: torch.tensor([20.0, 20.0]), 1: torch.tensor([-20.0, -20.0])}
    planner = agent(goals)
    for seed, sign in ((0, 1), (1, -1)):
        planner.reset(observation(0, 0), seed)
        action = planner.act(observation(0, 0))
        assert action.dtype == np.float32 and action.shape == (2,)
        assert (sign * action > 0.8).all()
    assert planner.observer.observer.calls == 2


def test_a_late_planner_begins_where_the_actions_under_way_lead():
    """Its state is ahead of what it sees by all that it has asked for and nobody has done yet."""
    late = agent({0: torch.tensor([20.0, 20.0])})
    bounds = SimpleNamespace(action_low=(-1.0, -1.0), action_high=(1.0, 1.0))

    def summed(z, actions):
        return torch.cat([z[:, None], z[:, None] + actions.cumsum(1)], 1)

    late.compensator = DelayCompensator(summed, bounds, 1, Delays(2))
    asked, plan = [], late.planner.plan
    late.planner.plan = lambda z, terms: asked.append(z) or plan(z, terms)
    late.reset(observation(50, 50), 0)
    done = [late.act(observation(50, 50)) for _ in range(4)]
    for index, z in enumerate(asked):
        under_way = sum(done[max(index - 2, 0) : index], np.zeros(2))
        np.testing.assert_allclose(z[0], 5 + under_way, atol=1e-5)


class FailingDynamics:
    """Gives NaN while ``broken``."""

    broken = False

    def step(self, z, action):
        return z + action * (float("nan") if self.broken else 1.0)


def failing_agent():
    world = FailingDynamics()
    planner = MPCPlanner(world, 2, MPCConfig(solver="cem", horizon=3, samples=50, elites=5))
    terms = [GoalDistance(torch.tensor([20.0, 20.0]))]
    return PlanningPolicy(toy(), planner, lambda seed: terms, lambda a: 1.5 * a + 0.5), world


def test_nan_from_the_dynamics_goes_on_with_the_last_good_plan_and_warns_once():
    planner, world = failing_agent()
    planner.reset(observation(0, 0), 0)
    planner.act(observation(0, 0))
    good = planner.scaled(planner.planner.last[0]).numpy()
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
        planner.reset(observation(0, 0), 0)
    assert planner.planner.fallbacks == 0 and "planner_fallbacks" not in planner.notes()


def test_nan_from_the_start_takes_the_middle_of_the_bounds():
    planner, world = failing_agent()
    world.broken = True
    planner.reset(observation(0, 0), 0)
    with pytest.warns(RuntimeWarning, match="goes on with the middle of the bounds"):
        np.testing.assert_array_equal(planner.act(observation(0, 0)), [0.5, 0.5])


def test_same_seed_same_actions_whatever_came_before():
    planner = agent({0: torch.ones(2), 1: torch.ones(2)})

    def episode(seed):
        planner.reset(observation(0, 0), seed)
        return np.stack([planner.act(observation(t, t)) for t in range(4)])

    first = episode(0)
    episode(1)
    np.testing.assert_array_equal(first, episode(0))


def test_notes_measure_the_distance_to_the_goal():
    planner = agent({0: torch.tensor([1.0, 0.0])})
    planner.reset(observation(0, 0), 0)
    for x in (0, 10, 20):
        planner.act(observation(x, 0))
    notes = planner.notes()
    assert notes == {"latent_initial": 1.0, "latent_final": 1.0, "latent_min": 0.0}


def test_a_network_acts_on_the_present_state():
    class Network:
        def select_action(self, z):
            return -z

    actor = NetworkPolicy(toy(), Network())
    actor.reset(observation(0, 0), 0)
    np.testing.assert_allclose(actor.act(observation(5, 1)), [-0.5, -0.1])
