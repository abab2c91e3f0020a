"""Agents that act late: with an exact model they do what they would have done in time."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs.delay import Delay
from foresight.envs.interface import spec_of
from foresight.envs.registry import EnvConfig, make
from foresight.planning.config import ALONE, MPCConfig
from foresight.policies.delayed.compensator import DelayCompensator, EstimatedDelay
from foresight.policies.delayed.policy import DelayedFactory, DelayedPolicy
from foresight.policies.delayed.queue import Delays
from foresight.policies.mpc import MPCFactory, MPCPolicy
from foresight.rollout import run_episodes
from foresight.worldmodel.model import WorldModel
from linear_robot import agent, known_model, linear_robot, live

STEPS = 30
CLOSE = {"atol": 2e-4, "rtol": 0}


def in_time(hold, idle, seed=0):
    """What the usual agent does without a delay, after some idle steps."""
    return live(agent(MPCPolicy, hold), linear_robot(), STEPS, seed, idle)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("hold", [1, 2, 3])
@pytest.mark.parametrize("delay", range(5))
def test_with_an_exact_model_a_delay_only_shifts_what_is_done(delay, hold, tells):
    """The very same actions on the very same trajectory, which begins after the idle steps."""
    policy = agent(DelayedPolicy, hold, lateness=Delays(delay))
    done = live(policy, Delay(linear_robot(), delay), STEPS, tells=tells)
    idle = -(-delay // hold) * hold  # a decision waits for the model's own grid
    np.testing.assert_allclose(done, in_time(hold, idle)[:STEPS], **CLOSE)
    assert np.abs(done[idle:]).max() > 0.1  # and it does something


@pytest.mark.parametrize(("lag", "delay", "hold"), [(2, 0, 1), (2, 0, 2), (2, 2, 2), (3, 3, 3)])
def test_an_exact_model_makes_good_for_old_observations(lag, delay, hold):
    """Of the first observation the age is less than the lag: nothing is lost at the start."""
    policy = agent(DelayedPolicy, hold, lateness=Delays(delay, lag))
    done = live(policy, Delay(linear_robot(), delay, lag), STEPS)
    np.testing.assert_allclose(done, in_time(hold, delay)[:STEPS], **CLOSE)


def test_who_ignores_a_delay_does_something_else():
    done = live(agent(MPCPolicy, 2), Delay(linear_robot(), 4), STEPS)
    assert np.abs(done - in_time(2, 4)[:STEPS]).max() > 0.1


def test_interpolating_acts_at_once_and_is_close():
    policy = agent(DelayedPolicy, 2, lateness=Delays(1, rest="interpolate"))
    done = live(policy, Delay(linear_robot(), 1), STEPS)
    assert np.abs(done - in_time(2, 1)[:STEPS]).max() < 0.1
    assert (done[1] != 0).any()


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_delay_that_nobody_tells_is_found_and_made_good(delay):
    policy = agent(DelayedPolicy, 1, lateness=EstimatedDelay(decisions=8, most=5))
    done = live(policy, Delay(linear_robot(), delay), STEPS)
    assert policy.notes() == {"estimated_delay": delay}
    asked = torch.cat(policy.planner.asked[8:])[: STEPS - 8 - delay]
    states = true_states(done)[8 + delay : 8 + delay + len(asked)]
    np.testing.assert_allclose(asked, states, **CLOSE)  # it plans from where its action arrives
    again = live(policy, Delay(linear_robot(), delay), STEPS)
    np.testing.assert_array_equal(done, again)  # all randomness follows from the seed
    assert not np.allclose(done[delay:8], live(policy, linear_robot(), STEPS, seed=1)[delay:8])


def true_states(done):
    env = linear_robot()
    env.reset(seed=0)
    found = [env.unwrapped.x]
    for action in done:
        env.step(action)
        found.append(env.unwrapped.x)
    return np.array(found)


@pytest.fixture(scope="module")
def checkpoint(tiny_learned):
    return str(tiny_learned / "model")


SEARCH = MPCConfig(members=2, samples=8, elites=4, iterations=1, prior_samples=2)


def executed(factory, parallel=1, **delays):
    """What robots did in two episodes."""
    env = EnvConfig("point_mass-easy", size=32, quality="smooth", **delays)
    episodes = run_episodes(env, factory, [0, 1], parallel=parallel, max_steps=8)
    return np.stack([episode.action for episode in episodes])


def test_without_a_delay_it_is_the_usual_agent_to_the_bit(checkpoint):
    usual = executed(MPCFactory(checkpoint, SEARCH))
    late = DelayedFactory(checkpoint, SEARCH, lateness=Delays(0))
    np.testing.assert_array_equal(executed(late), usual)
    assert usual.any()


def test_a_learned_agent_plans_from_the_rolled_state(checkpoint):
    env = make("point_mass-easy", size=32, quality="smooth", action_delay=4)
    factory = pickle.loads(pickle.dumps(DelayedFactory(checkpoint, SEARCH, lateness=Delays(4))))
    policy = factory(spec_of(env))
    seen = []
    plan = policy.planner._plan

    def watched(z, *more):
        seen.append(z.clone())
        return plan(z, *more)

    policy.planner._plan = watched
    raw, info = env.reset(seed=3)
    policy.reset(Observation.of(raw), 3)
    shown, asked = [], []
    for step in range(8):
        observation = Observation.of(raw, info=info)
        asked.append(policy.act(observation))
        if step % 2 == 0:
            shown.append(raw["images"]["camera"])
        raw, *_, info = env.step(asked[-1])
    policy.observer.reset()
    z = [policy.model.encode(policy.observer.see(picture[None])) for picture in shown]
    with torch.inference_mode():
        for index, state in enumerate(z):
            decided = [np.zeros(2, np.float32)] * 2 + asked[::2]
            under_way = torch.from_numpy(np.stack(decided[index : index + 2]))
            there = policy.model.dynamics(state, policy.model.normalised(under_way)[None])
            torch.testing.assert_close(seen[index], there.mean(0)[:, -1])


def test_a_prior_may_act_from_there_alone(checkpoint):
    search = replace(SEARCH, prior_weight=ALONE)
    model = WorldModel.load(checkpoint)
    policy = DelayedFactory(checkpoint, search, lateness=Delays(2))(model.config.spec)
    start = model.state.width
    with torch.inference_mode():
        policy.compensator.issue(np.full((1, 2), 0.5, np.float32))
        stacked = torch.randn(1, start)
        done = policy.decide(stacked)
        wait = model.normalised(torch.tensor([[[0.0, 0.0], [0.5, 0.5]]]))
        there = model.dynamics(model.encode(stacked), wait).mean(0)[:, -1]
        torch.testing.assert_close(done, model.prior.mean_action(there), atol=1e-2, rtol=0)
        assert not torch.allclose(done, model.prior.mean_action(model.encode(stacked)), atol=1e-5)


def test_several_robots_keep_their_queues_apart(checkpoint):
    """The delays of each are its own; the prior draws nothing, so that company changes nothing."""
    search = replace(SEARCH, prior_weight=ALONE, prior_samples=0)
    late = DelayedFactory(checkpoint, search, lateness=Delays(1, 0, 2))
    alone, together = (executed(late, n, action_delay=1, jitter=2) for n in (1, 2))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert not np.allclose(alone[0], alone[1], atol=1e-3)
    policy = DelayCompensator(known_model(1).dynamics, known_model(1).config, 1, Delays(1))
    with pytest.raises(ForesightError, match="2 robots show something, and 1 episodes"):
        policy.tell([Observation()] * 2)


@pytest.mark.parametrize(
    ("numbers", "words"), [((1,), "from 2 on"), ((8, 0.7, 0), "from 1 on"), ((8, 0), "above 0")]
)
def test_estimates_from_nothing_are_refused(numbers, words):
    with pytest.raises(ForesightError, match=words):
        EstimatedDelay(*numbers)
