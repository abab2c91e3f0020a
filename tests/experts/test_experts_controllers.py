"""Experts: how well they do, where there are some, and what they look into."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from bodies import named, play, spec_of_task
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.simulator import Privileged
from foresight.experts import NoisyExpert, has_expert
from foresight.experts.noisy import LONGEST_DROPOUT
from foresight.policies import make_policy


def returns(name, task, seeds=range(20)):
    policy = named(name, task)
    return np.array([play(policy, task, 200, seed)[1].sum() for seed in seeds])


def test_the_reacher_expert_solves_every_episode():
    found = returns("expert", "reacher-easy")
    assert found.mean() >= 175
    assert found.min() > 150


def test_the_point_mass_expert_is_good_with_mixed_actuators_too():
    assert returns("expert", "point_mass-easy").mean() >= 90
    assert returns("expert", "point_mass-hard", range(8)).mean() >= 70


@pytest.mark.parametrize("name", ["expert", "eps:0.3:expert"])
def test_a_task_without_that_expert_is_refused_with_those_that_have_one(name):
    with pytest.raises(ForesightError, match=r"pendulum-swingup.*reacher-easy"):
        named(name, "pendulum-swingup")


@pytest.mark.parametrize("env_id", [None, "gym/Pendulum-v1", "mine/robot"])
def test_other_environments_have_no_experts(env_id):
    with pytest.raises(ForesightError, match="tasks of dm_control"):
        make_policy("expert", spec_of_task("reacher-easy"), env_id)
    assert not has_expert("expert", str(env_id))


def test_ids_with_and_without_their_namespace_are_one():
    assert has_expert("expert", "dmc/reacher-easy") and has_expert("expert", "reacher-easy")
    assert has_expert("oracle", "dmc/ball_in_cup-catch")
    assert not has_expert("oracle", "dog-run") and not has_expert("random", "walker-walk")


def test_only_a_simulator_can_be_attached():
    expert = named("expert")
    assert isinstance(expert, Privileged)
    with pytest.raises(ForesightError, match="no dm_control task"):
        expert.attach(gymnasium.make("Pendulum-v1"))
    with pytest.raises(ForesightError, match="attach"):
        expert.reset(Observation(), 0)


class Middle(Policy):
    """Always in the middle."""

    def act(self, observation):
        return np.zeros(2, np.float32)


def led(seed, steps=400, **options):
    policy = NoisyExpert(spec_of_task("reacher-easy"), Middle(), **options)
    policy.reset(Observation(), seed)
    found = np.array([policy.act(Observation()) for _ in range(steps)])
    assert not policy.expert_action.any()
    return found


def test_a_noisy_expert_leaves_a_third_of_the_episodes_alone():
    strengths = [np.abs(led(seed, 30)).max() for seed in range(90)]
    calm = sum(strength == 0 for strength in strengths)
    assert 18 <= calm <= 42
    assert 0.3 < max(strengths) <= 0.6 + 1e-6
    assert np.array_equal(led(5), led(5))


def test_dropouts_end_and_leave_the_noise_alone():
    seed = next(seed for seed in range(20) if not led(seed, 30).any())  # a calm one
    moved = led(seed, 4000, dropout=60).any(axis=1)
    assert 0.1 < moved.mean() < 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], moved.astype(int), [0]])))
    assert (edges[1::2] - edges[::2]).max() <= LONGEST_DROPOUT
