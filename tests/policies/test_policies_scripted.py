"""Behaviours: bounds, seeds, specs; experts: how well they do."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import make
from foresight.policies.scripted import Behaviour, make_behaviour
from foresight.rollout.episode import EpisodeSpec
from foresight.rollout.pool import run_episodes


def actions(spec, task="reacher-easy", seed=0, steps=50):
    env = make(task, render=None)
    observation, _ = env.reset(seed=seed)
    behaviour = make_behaviour(spec, task)
    assert isinstance(behaviour, Behaviour)
    assert behaviour.name == spec
    behaviour.reset(env, seed)
    found = []
    for _ in range(steps):
        found.append(behaviour.act(env, observation))
        observation, *_ = env.step(found[-1])
    return np.array(found)


def returns(spec, task, seeds=range(20)):
    specs = [EpisodeSpec(task, seed, spec, render=None) for seed in seeds]
    return np.array([episode.return_ for episode in run_episodes(specs, workers=1)])


@pytest.mark.parametrize("task", ["reacher-easy", "point_mass-hard", "quadruped-walk"])
@pytest.mark.parametrize("spec", ["zero", "random", "smooth:0.9", "constant:0.5", "eps:0.5:zero"])
def test_actions_are_within_bounds_and_repeat_with_the_seed(spec, task):
    first = actions(spec, task, steps=10)
    env = make(task, render=None)
    assert first.dtype == np.float32
    assert all(env.action_space.contains(action) for action in first)
    assert np.array_equal(first, actions(spec, task, steps=10))


def test_randomness_depends_on_the_seed_and_the_spec():
    assert not np.array_equal(actions("random", seed=0), actions("random", seed=1))
    assert not np.array_equal(actions("random"), actions("eps:1:zero"))
    assert not np.array_equal(actions("smooth:0.9", seed=0), actions("smooth:0.9", seed=1))


def test_unbounded_actuators_get_ordinary_numbers():
    env = make("lqr-lqr_2_1", render=None)
    assert env.action_space.high.max() > 1e9
    assert np.abs(actions("random", "lqr-lqr_2_1")).max() < 10
    assert np.abs(actions("smooth:0.9", "lqr-lqr_2_1")).max() <= 1


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_smooth_actions_remember_and_reach_far(memory):
    env = make("reacher-easy", render=None)  # bounds of -1 and 1
    behaviour = make_behaviour(f"smooth:{memory}", "reacher-easy")
    behaviour.reset(env, 3)
    found = np.array([behaviour.act(env, {}) for _ in range(6000)], np.float64)
    noise = np.arctanh(found)  # what was squashed: normal, with a correlation of memory**lag
    assert noise.std(axis=0) == pytest.approx(np.ones(2), abs=0.12)
    for lag in (1, 4):
        for actuator in noise.T:
            seen = np.corrcoef(actuator[:-lag], actuator[lag:])[0, 1]
            assert seen == pytest.approx(memory**lag, abs=0.06)
    assert np.ptp(found, axis=0).min() > 1.8
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.15


def test_constants():
    assert np.array_equal(actions("constant:0.1,-0.3")[0], np.float32([0.1, -0.3]))
    assert np.array_equal(actions("constant:5")[0], np.float32([1, 1]))
    assert not actions("zero").any()


def test_epsilon_is_the_share_of_random_actions():
    mixed = actions("eps:0.3:constant:0.25", steps=200)
    share = (mixed != 0.25).any(axis=1).mean()
    assert 0.2 < share < 0.4
    assert (actions("eps:0:constant:0.25") == 0.25).all()
    assert (actions("eps:0.5:eps:0:zero") == 0).all(axis=1).any()


@pytest.mark.parametrize(
    "spec",
    [
        *("", "good", None, "zero:1", "constant", "constant:", "constant:a", "constant:nan"),
        *("smooth", "smooth:", "smooth:1", "smooth:-0.1", "smooth:a", "smooth:0.1,0.2"),
        *("eps", "eps:0.3", "eps:2:zero", "eps:x:zero", "eps:0.1,0.2:zero", "eps:0.3:good"),
    ],
)
def test_an_unknown_behaviour_is_refused(spec):
    with pytest.raises(ForesightError, match="ehaviour"):
        make_behaviour(spec, "reacher-easy")


def test_a_constant_of_the_wrong_length_is_refused():
    with pytest.raises(ForesightError, match="2 actuators"):
        actions("constant:1,2,3")


@pytest.mark.parametrize("spec", ["expert", "source", "eps:0.3:expert"])
def test_a_task_without_that_expert_is_refused_with_those_that_have_one(spec):
    with pytest.raises(ForesightError, match=r"pendulum-swingup.*reacher-easy"):
        make_behaviour(spec, "pendulum-swingup")


def test_the_reacher_expert_solves_every_episode():
    found = returns("expert", "reacher-easy")
    assert found.mean() >= 175
    assert found.min() > 150


def test_the_point_mass_expert_is_good_with_mixed_actuators_too():
    assert returns("expert", "point_mass-easy").mean() >= 90
    assert returns("expert", "point_mass-hard", range(8)).mean() >= 70


def test_the_sources_controller_is_as_poor_as_it_was():
    found = returns("source", "reacher-easy")
    assert 60 < found.mean() < 95
    assert (found < 20).any()
