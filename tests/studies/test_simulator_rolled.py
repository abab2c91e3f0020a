"""The ceiling under delays: the true simulator rolled ahead gives what was seen in time."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from fake_robot import fake_robot
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.envs.interface import spec_of
from foresight.envs.registry import make
from foresight.planning.config import MPCConfig
from foresight.policies.mpc import MPCFactory
from studies.simulator_rolled import SimulatorRolled, SimulatorRolledFactory

SEARCH = MPCConfig(members=2, samples=8, elites=4, iterations=1, prior_samples=2)
LOOK = {"size": 32, "quality": "smooth"}


class Watcher(Policy):
    """Writes down what it is shown, and acts by it; decides every second step."""

    hold = 2

    def reset(self, observation, seed):
        self.step, self.shown, self.held = 0, [], None

    def act(self, observation):
        if self.step % self.hold == 0:
            self.shown.append(observation)
            mean = observation.images["camera"].mean((0, 1)) - observation.images["camera"].mean()
            self.held = np.resize(np.sin(mean + observation.state.sum()), 6).astype(np.float32)
        self.step += 1
        return self.held


def live(policy, steps, task="walker-walk", delay=0, idle=0, seed=5):
    env = make(task, **LOOK, action_delay=delay)
    raw, _ = env.reset(seed=seed)
    for _ in range(idle):
        raw, *_ = env.step(np.zeros(len(spec_of(env).action)))
    if isinstance(policy, SimulatorRolled):
        policy.attach(env)
    policy.reset(Observation.of(raw), seed)
    done = []
    for _ in range(steps):
        raw, *_, info = env.step(policy.act(Observation.of(raw)))
        done.append(info["executed_action"])
    env.close()
    return np.array(done)


@pytest.mark.parametrize("delay", [0, 1, 3, 4])
def test_it_sees_and_does_what_the_undelayed_agent_does_later(delay):
    """To the bit: pictures, numbers and actions of the same trajectory, shifted."""
    spec = spec_of(make("walker-walk", **LOOK))
    late, usual = Watcher(), Watcher()
    rolled = SimulatorRolled(late, spec, delay)
    done = live(rolled, 12 + delay, delay=delay)
    rolled.close()
    expected = live(usual, 12, idle=delay)
    assert not done[:delay].any()
    np.testing.assert_array_equal(done[delay:], expected)
    for ours, theirs in zip(late.shown, usual.shown, strict=False):
        np.testing.assert_array_equal(ours.images["camera"], theirs.images["camera"])
        np.testing.assert_array_equal(ours.state, theirs.state)


def test_a_learned_agent_is_shown_the_goal_of_its_episode(tiny_learned):
    """A task whose goal is drawn for each episode, and an agent that plans."""
    checkpoint = str(tiny_learned / "model")
    factory = pickle.loads(pickle.dumps(SimulatorRolledFactory(checkpoint, 3, SEARCH)))
    spec = spec_of(make("point_mass-easy", **LOOK))
    rolled = factory(spec)
    for seed in (1, 2):  # the copies follow from one episode to the next
        done = live(rolled, 11, "point_mass-easy", 3, seed=seed)
        usual = live(MPCFactory(checkpoint, SEARCH)(spec), 8, "point_mass-easy", idle=3, seed=seed)
        np.testing.assert_array_equal(done[3:], usual)
    rolled.close()


def test_other_robots_are_refused():
    env = fake_robot()
    with pytest.raises(ForesightError, match="is no task of dm_control"):
        SimulatorRolled(Watcher(), spec_of(env), 1).attach(env)
