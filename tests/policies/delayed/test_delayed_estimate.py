"""The estimator of delays, on a robot whose delay and model are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.envs.delay import Delay
from foresight.policies.delayed.estimate import estimate_delay
from linear_robot import Known, linear_robot


def lived(env, hold, decisions, seed):
    """States at random decisions, and what was asked for at each step."""
    random = np.random.default_rng(seed)
    raw, _ = env.reset(seed=seed)
    states, issued = [raw["state"]], []
    for _ in range(decisions):
        action = random.uniform(-1, 1, 2).astype(np.float32)
        for _ in range(hold):
            raw, *_ = env.step(action)
            issued.append(action)
        states.append(raw["state"])
    return torch.from_numpy(np.stack(states)), torch.from_numpy(np.stack(issued))


@pytest.mark.parametrize("hold", [1, 2])
@pytest.mark.parametrize("delay", range(5))
def test_a_known_delay_is_found(delay, hold):
    for seed in range(3):
        z, issued = lived(Delay(linear_robot(), delay), hold, 16, seed)
        found = estimate_delay(Known(hold), z, issued, hold)
        assert found.delay == delay and found.errors[delay] == min(found.errors)
        assert found.margin > 2


@pytest.mark.parametrize("delay", range(7))
def test_of_long_decisions_a_part_is_found_up_to_a_step(delay):
    z, issued = lived(Delay(linear_robot(), delay), 3, 16, 0)
    found = estimate_delay(Known(3), z, issued, 3).delay
    assert found == delay if delay % 3 == 0 else abs(found - delay) <= 1


def test_a_lag_is_found_as_if_it_were_a_delay():
    z, issued = lived(Delay(linear_robot(), 1, 2), 1, 20, 0)
    assert estimate_delay(Known(), z, issued).delay == 3


def test_a_model_that_errs_in_size_finds_it_too():
    """Half of the effect and a bias: what counts is when the changes come."""
    wrong = Known(2)
    wrong.push = 0.5 * wrong.push
    wrong.turn = 0.95 * wrong.turn
    for delay in (0, 2, 4):
        z, issued = lived(Delay(linear_robot(), delay), 2, 24, 1)
        assert estimate_delay(wrong, z, issued, 2).delay == delay


def test_before_the_first_action_arrives_the_idle_one_counts():
    """Two transitions of a robot that has done nothing yet."""
    z, issued = lived(Delay(linear_robot(), 4), 1, 4, 0)
    assert estimate_delay(Known(), z, issued, most=4).delay == 4


def test_actions_that_never_change_tell_nothing():
    z, issued = lived(Delay(linear_robot(), 2), 1, 8, 0)
    still = torch.zeros_like(issued)
    found = estimate_delay(Known(), z, still)
    assert max(found.errors) == pytest.approx(min(found.errors)) and found.margin < 2


@pytest.mark.parametrize(("states", "actions"), [(2, 1), (4, 5)])
def test_too_little_is_refused(states, actions):
    with pytest.raises(ForesightError, match="cannot be estimated from"):
        estimate_delay(Known(2), torch.zeros(states, 3), torch.zeros(actions, 2), hold=2)
