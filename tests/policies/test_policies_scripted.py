"""Scripted policies: bounds, seeds, names."""

from __future__ import annotations

import numpy as np
import pytest

from bodies import named, play, spec_of_task
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.spec import Spec, numbered_axes
from foresight.policies import AR1Noise, EpsilonGreedy, NamedPolicy, make_policy, register_policy

RANDOM, NOISE = [0.2080265, -0.3574841], [-0.1978333, -0.8638656]
NAMES = ["zero", "random", "ar1:0.9", "ar1:0.5:clip", "constant:0.5", "eps:0.5:zero"]


def actions(name, task="reacher-easy", seed=0, steps=50):
    return play(named(name, task), task, steps, seed)[0]


@pytest.mark.parametrize("task", ["reacher-easy", "point_mass-hard", "quadruped-walk"])
@pytest.mark.parametrize("name", NAMES)
def test_actions_are_within_bounds_and_repeat_with_the_seed(name, task):
    first = actions(name, task, steps=10)  # play() checks the bounds
    assert first.dtype == np.float32
    assert np.array_equal(first, actions(name, task, steps=10))


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_forgets_the_last_one(name):
    policy, observation = named(name), Observation()
    runs = []
    for seed in (3, 4, 3):
        policy.reset(observation, seed)
        runs.append([policy.act(observation).tolist() for _ in range(5)])
    assert runs[0] == runs[2]


def test_randomness_depends_on_the_seed_and_the_name():
    assert not np.array_equal(actions("random", seed=0), actions("random", seed=1))
    assert not np.array_equal(actions("random"), actions("eps:1:zero"))
    assert not np.array_equal(actions("ar1:0.9", seed=0), actions("ar1:0.9", seed=1))


def test_numbers_are_those_that_data_were_made_with():
    """Of the random policy and the noise, as recorded in datasets that exist."""
    np.testing.assert_allclose(actions("random", seed=3, steps=1)[0], RANDOM, atol=1e-6)
    np.testing.assert_allclose(actions("ar1:0.9", seed=3, steps=1)[0], NOISE, atol=1e-6)


def test_unbounded_actuators_get_ordinary_numbers():
    assert spec_of_task("lqr-lqr_2_1").high.max() > 1e9
    assert np.abs(actions("random", "lqr-lqr_2_1")).max() < 10
    assert np.abs(actions("ar1:0.9", "lqr-lqr_2_1")).max() <= 1
    free = Spec(action=numbered_axes("action", 2))
    assert np.isfinite(make_policy("random", free).act(Observation())).all()


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_lasting_noise_remembers_and_reaches_far(memory):
    policy = named(f"ar1:{memory}")
    policy.reset(Observation(), 3)
    found = np.array([policy.act(Observation()) for _ in range(6000)], np.float64)
    noise = np.arctanh(found)  # what was squashed: normal, with a correlation of memory**lag
    assert noise.std(axis=0) == pytest.approx(np.ones(2), abs=0.12)
    for lag in (1, 4):
        for actuator in noise.T:
            seen = np.corrcoef(actuator[:-lag], actuator[lag:])[0, 1]
            assert seen == pytest.approx(memory**lag, abs=0.06)
    assert np.ptp(found, axis=0).min() > 1.8
    assert abs(np.corrcoef(noise.T)[0, 1]) < 0.15


def test_clipped_noise_stays_at_the_bounds():
    policy = named("ar1:0.8:clip")
    assert isinstance(policy, AR1Noise)
    policy.reset(Observation(), 3)
    found = np.array([policy.act(Observation()) for _ in range(4000)])
    assert 0.28 < (np.abs(found) == 1).mean() < 0.36  # beyond one deviation


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


def test_a_mixture_hands_on_what_the_other_one_needs():
    class Watcher(Policy):
        env, closed = None, False

        def attach(self, env):
            self.env = env

        def act(self, observation):
            return np.zeros(2, np.float32)

        def notes(self):
            return {"seen": 1}

        def close(self):
            self.closed = True

    inner = Watcher()
    outer = EpsilonGreedy(spec_of_task("reacher-easy"), 0.1, inner)
    outer.attach("a simulator")
    outer.close()
    assert (inner.env, inner.closed, outer.notes()) == ("a simulator", True, {"seen": 1})


def test_anyone_may_add_a_kind():
    register_policy("half", lambda name, spec, env_id: make_policy("constant:0.5", spec))
    assert NamedPolicy("half")(spec_of_task("reacher-easy")).act(Observation())[0] == 0.5


@pytest.mark.parametrize(
    "name",
    [
        *("", "good", None, "zero:1", "constant", "constant:", "constant:a", "constant:nan"),
        *("ar1", "ar1:", "ar1:1", "ar1:-0.1", "ar1:a", "ar1:0.1,0.2", "ar1:0.5:soft"),
        *("eps", "eps:0.3", "eps:2:zero", "eps:x:zero", "eps:0.1,0.2:zero", "eps:0.3:good"),
        *("noisy", "noisy:0.3", "noisy:-1:expert", "noisy:1,2,3:expert", "noisy:0.5:good"),
    ],
)
def test_an_unknown_policy_is_refused(name):
    with pytest.raises(ForesightError, match="olicy"):
        named(name)


def test_a_constant_of_the_wrong_length_is_refused():
    with pytest.raises(ForesightError, match="2 actuators"):
        named("constant:1,2,3")
