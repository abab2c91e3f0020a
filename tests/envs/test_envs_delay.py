"""Delays: what was executed, what was seen, and when; against plain lists."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_robot import fake_robot
from foresight.core.errors import ForesightError
from foresight.envs.delay import Delay
from foresight.envs.interface import spec_of
from foresight.envs.registry import make

STEPS = 12


def chosen(seed, count=STEPS):
    return np.random.default_rng(seed).uniform(-0.2, 0.2, (count, 2)).astype(np.float32)


def play(env, seed, actions):
    seen, _ = env.reset(seed=seed)
    states, executed, ages, rewards = [seen["state"]], [], [], []
    for action in actions:
        seen, reward, terminated, truncated, info = env.step(action)
        states.append(seen["state"])
        executed.append(info["executed_action"])
        ages.append(info["observation_age"])
        rewards.append(reward)
        if terminated or truncated:
            break
    return np.array(states), np.array(executed), ages, rewards


@settings(max_examples=30, deadline=None)
@given(delay=st.integers(0, 5), lag=st.integers(0, 5), seed=st.integers(0, 30))
def test_fixed_delays_are_shifts(delay, lag, seed):
    actions = chosen(seed)
    states, executed, ages, rewards = play(Delay(fake_robot(), delay, lag), seed, actions)
    count = len(executed)
    idle = np.zeros((delay, 2), np.float32)
    np.testing.assert_array_equal(executed, np.concatenate([idle, actions])[:count])
    bare = fake_robot()
    true = [bare.reset(seed=seed)[0]["state"]]
    for action, reward in zip(executed, rewards, strict=True):
        seen, expected, *_ = bare.step(action)
        true.append(seen["state"])
        assert reward == expected  # of the present, whatever is shown
    for t in range(count + 1):
        np.testing.assert_array_equal(states[t], true[max(t - lag, 0)])
    assert ages == [min(t + 1, lag) for t in range(count)]


@pytest.mark.parametrize("late", [1, 3])
def test_a_lag_equals_a_delay_but_for_the_start(late):
    """Who acts by a rule on what is seen lives through the same, but for the first steps."""

    def rule(state):
        return np.clip(-0.4 * state[:2] - 0.2 * state[2:], -0.5, 0.5)

    def lived(env):
        seen, _ = env.reset(seed=6)
        executed = []
        for _ in range(10):
            seen, *_, info = env.step(rule(seen["state"]))
            executed.append(info["executed_action"])
        return np.array(executed)

    delayed, lagged = lived(Delay(fake_robot(), late, 0)), lived(Delay(fake_robot(), 0, late))
    assert not np.array_equal(delayed[:late], lagged[:late])  # idle; by the first observation
    # The very relation: what is executed now was decided by what was true ``late`` ago.
    env = Delay(fake_robot(), 0, late)
    seen, _ = env.reset(seed=6)
    true = [seen["state"]]
    for t in range(10):
        action = rule(seen["state"]).astype(np.float32)
        np.testing.assert_allclose(action, rule(true[max(t - late, 0)]), atol=1e-6)
        seen, *_ = env.step(action)
        true.append(env.env._observe(env.unwrapped._observe())["state"])


@settings(max_examples=30, deadline=None)
@given(
    delay=st.integers(0, 3), lag=st.integers(0, 3), jitter=st.integers(1, 4), seed=st.integers(0, 9)
)
def test_jitter_never_goes_back_and_follows_from_the_seed(delay, lag, jitter, seed):
    actions = chosen(seed)
    env = Delay(fake_robot(), delay, lag, jitter)
    states, executed, ages, _ = play(env, seed, actions)
    idle = np.zeros(2, np.float32)
    order = [idle, *actions]
    which = [next(i for i, a in enumerate(order) if np.array_equal(a, e)) for e in executed]
    assert which == sorted(which)  # an older action never replaces a newer one
    for t, index in enumerate(which):
        latest, earliest = t + 1 - delay, t + 1 - delay - jitter
        assert max(earliest, 0) <= index <= max(latest, 0)
    for t, age in enumerate(ages):
        assert min(t + 1, lag) <= age <= min(t + 1, lag + jitter)
    assert all(later <= age + 1 for age, later in pairwise(ages))
    again = play(env, seed, actions)
    np.testing.assert_array_equal(states, again[0])
    np.testing.assert_array_equal(executed, again[1])


def test_jitter_changes_with_the_seed():
    env = Delay(fake_robot(), jitter=4)
    # The same actions and place, other delays: only the seeds of the episodes differ.
    ages = [play(env, seed, np.zeros((STEPS, 2)))[2] for seed in range(4)]
    assert len({tuple(found) for found in ages}) > 1


def test_no_delay_changes_nothing():
    actions = chosen(3)
    states, executed, ages, rewards = play(Delay(fake_robot()), 3, actions)
    bare = fake_robot()
    bare.reset(seed=3)
    found = [bare.step(action) for action in actions[: len(executed)]]
    np.testing.assert_array_equal(states[1:], [seen["state"] for seen, *_ in found])
    assert rewards == [reward for _, reward, *_ in found]
    assert set(ages) == {0}


def test_pictures_are_late_like_the_state_and_ends_are_not():
    env = Delay(fake_robot(), observation_lag=3)
    seen, _ = env.reset(seed=0)
    shown = [seen["images"]["front"]]
    over = False
    while not over:
        seen, _, over, truncated, info = env.step(env.unwrapped.towards_goal())
        shown.append(seen["images"]["front"])
        assert not truncated
    assert info["success"]
    assert not np.array_equal(shown[-1], env.unwrapped.render())
    np.testing.assert_array_equal(shown[3], shown[0])
    assert not np.array_equal(shown[4], shown[0])


def test_the_idle_action_lies_within_the_bounds():
    class Push(type(fake_robot().unwrapped)):
        def __init__(self):
            super().__init__()
            import gymnasium

            low, high = np.array([0.2, -1], np.float32), np.array([1, -0.5], np.float32)
            self.action_space = gymnasium.spaces.Box(low, high)

    from foresight.envs.wrap import wrap

    env = Delay(wrap(Push()), 1)
    env.reset(seed=0)
    info = env.step([1, -1])[4]
    np.testing.assert_allclose(info["executed_action"], [0.2, -0.5])


def test_a_delayed_simulator_reports_what_it_did():
    env = make("reacher-easy", cameras=(), action_delay=2)
    assert spec_of(env) == spec_of(make("reacher-easy", cameras=()))
    env.reset(seed=1)
    infos = [env.step([0.5, -2.0])[4] for _ in range(3)]
    found = [info["executed_action"].tolist() for info in infos]
    assert found == [[0, 0], [0, 0], [0.5, -1]]


@pytest.mark.parametrize("numbers", [(-1, 0, 0), (0, 1.5, 0), (0, 0, "much"), (True, 0, 0)])
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(ForesightError, match="give a whole number from 0"):
        Delay(fake_robot(), *numbers)
