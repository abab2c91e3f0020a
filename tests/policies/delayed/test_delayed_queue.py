"""The queue of actions under way, against what a delayed robot truly did."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.envs.delay import Delay
from foresight.policies.delayed.queue import ActionQueue, Delays, mean_lateness
from linear_robot import linear_robot

STEPS = 26
IDLE = np.zeros(2, np.float32)


def play(delays, hold, seed, tells):
    """Random decisions; of each the step, the age, what was predicted and what was decided."""
    random = np.random.default_rng(seed)
    env = Delay(linear_robot(), delays.action_delay, delays.observation_lag, delays.jitter)
    queue = ActionQueue(delays, IDLE, delays.wait(hold))
    _, told = env.reset(seed=seed)
    decisions, chosen = [], IDLE
    for step in range(STEPS):
        if step:
            queue.tell(told["executed_action"] if tells else None)
        age = told["observation_age"]
        if step % hold == 0:
            chosen = random.uniform(-1, 1, 2).astype(np.float32)
            decisions.append((step, age, queue.until_effect(age), chosen))
        told = env.step(queue.issue(chosen))[4]
    return decisions, np.array(env.unwrapped.did)


@settings(max_examples=60, deadline=None)
@given(
    delay=st.integers(0, 5),
    lag=st.integers(0, 5),
    hold=st.integers(1, 4),
    rest=st.sampled_from(["wait", "interpolate"]),
    tells=st.booleans(),
    seed=st.integers(0, 50),
)
def test_what_is_under_way_is_what_is_done(delay, lag, hold, rest, tells, seed):
    """From the observed moment on the robot does what was predicted, then what was decided."""
    delays = Delays(delay, lag, rest=rest)
    decisions, done = play(delays, hold, seed, tells)
    wait = (-(delay + lag)) % hold if rest == "wait" else 0
    for step, age, predicted, chosen in decisions:
        effect = step + delay + wait
        assert len(predicted) == effect - (step - age)
        inside = predicted[: len(done) - (step - age)]
        np.testing.assert_array_equal(inside, done[step - age : effect])
        held = done[effect : effect + hold]
        np.testing.assert_array_equal(held, np.broadcast_to(chosen, held.shape))
        if rest == "wait" and step >= lag:  # the model's own grid
            assert len(predicted) % hold == 0


@settings(max_examples=40, deadline=None)
@given(
    delay=st.integers(0, 3),
    jitter=st.integers(1, 4),
    hold=st.integers(1, 3),
    seed=st.integers(0, 50),
)
def test_with_jitter_what_was_overtaken_is_dropped(delay, jitter, hold, seed):
    delays = Delays(delay, 0, jitter)
    decisions, done = play(delays, hold, seed, tells=True)
    order = [IDLE]
    for *_, chosen in decisions:
        order.append(chosen)

    def place(action):
        return next(i for i, each in enumerate(order) if np.array_equal(each, action))

    for step, age, predicted, _ in decisions:
        np.testing.assert_array_equal(predicted[:age], done[step - age : step])  # as it was told
        places = [place(action) for action in predicted[age:]]
        assert places == sorted(places)
        assert len(places) == delays.acts_after + delays.wait(hold)
        if step and places:  # nothing that an executed action has overtaken
            assert places[0] >= place(done[step - 1])


@pytest.mark.parametrize("jitter", range(6))
def test_the_mean_lateness_is_that_of_a_simulated_line(jitter):
    random = np.random.default_rng(0)
    arrivals = np.arange(20_000) + random.integers(0, jitter + 1, 20_000)
    late = []
    for now in range(100, 19_000, 3):
        recent = np.arange(now - jitter, now + 1)
        late.append(now - recent[arrivals[recent] <= now].max())
    assert abs(np.mean(late) - mean_lateness(jitter)) < 0.03


def test_what_the_robot_says_counts_more_than_what_is_expected():
    """It was said to be two steps late and is one: the first action is under way no more."""
    queue = ActionQueue(Delays(2), IDLE)
    first, second, third = (np.full(2, value, np.float32) for value in (0.1, 0.2, 0.3))
    queue.issue(first)
    queue.tell(IDLE)
    queue.issue(second)
    queue.tell(first)
    queue.issue(third)
    queue.tell(second)
    np.testing.assert_array_equal(queue.until_effect(1), [second, second, third])
    queue.issue(first)
    queue.tell(np.array([9, 9], np.float32))  # done by somebody else: the queue is trusted
    np.testing.assert_array_equal(queue.executed[-1], [9, 9])


@pytest.mark.parametrize("numbers", [(-1,), (0, -2), (0, 0, 1.5), ("much",)])
def test_numbers_that_are_none_are_refused(numbers):
    with pytest.raises(ForesightError, match="give a whole number from 0"):
        Delays(*numbers)
