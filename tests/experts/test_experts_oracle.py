"""The oracle foresees exactly, is reproducible, and beats doing nothing by far."""

from __future__ import annotations

import dataclasses
import multiprocessing

import numpy as np
import pytest

from bodies import begin, play, spec_of_task
from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.experts.oracle import Oracle
from foresight.experts.oracle_search import Population, SearchSettings
from foresight.experts.oracle_settings import ORACLE_SETTINGS, OracleSettings, oracle_settings
from foresight.experts.rewards import batched_reward
from foresight.experts.simulator_rollouts import BatchSimulator, default_threads
from foresight.policies import make_policy

SMALL = OracleSettings(
    horizon=8, first_iterations=2, replan_every=3, search=SearchSettings(samples=6, elites=2)
)


def run(task, oracle, steps, seed=10_007, **options):
    return play(oracle, task, steps, seed, **options)


def small(task, settings=SMALL, **options):
    return Oracle(task, spec_of_task(task), settings, **options)


def worker_actions(task):
    return run(task, small(task), 8)[0], default_threads()


@pytest.mark.parametrize("task", MEASURED_TASKS)
def test_futures_are_those_of_the_environment(task):
    env = DMControlEnv(task, "seed200", None)
    env.reset(seed=10_001)
    generator = np.random.default_rng(0)
    draw = lambda *shape: generator.uniform(-1, 1, (*shape, *env.action_space.shape))  # noqa: E731
    for action in draw(10):
        env.step(action)
    model = env.physics.model.ptr
    substeps = round(1 / env.frames_per_second / model.opt.timestep)
    simulator = BatchSimulator(model, substeps, threads=2, sensors=True)
    controls = draw(5, 30)
    start = simulator.full_state(env.physics.data.ptr)
    states, sensors = simulator.futures(start, env.physics.data.qacc_warmstart.copy(), controls)
    foreseen = batched_reward(task, model)(states, sensors, controls)
    for step in range(30):
        _, reward, _, _, info = env.step(controls[3, step])
        np.testing.assert_allclose(states[3, step], info["state"], atol=1e-9)
        assert foreseen[3, step] == pytest.approx(reward, abs=1e-6)
    simulator.close()


@pytest.mark.parametrize("task", ["walker-walk", "finger-spin"])
def test_same_actions_on_any_threads_and_in_any_process(task):
    one = run(task, small(task, threads=1), 8)[0]
    three = run(task, small(task, threads=3), 8)[0]
    np.testing.assert_array_equal(one, three)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        elsewhere, threads = pool.apply(worker_actions, (task,))
    assert threads == 1
    np.testing.assert_array_equal(one, elsewhere)


def test_seeds_and_episodes_are_independent():
    oracle = small("cheetah-run", threads=1)
    first = run("cheetah-run", oracle, 6)[0]
    other = run("cheetah-run", oracle, 6, seed=10_008)[0]
    again = run("cheetah-run", oracle, 6)[0]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_actions_are_float32_of_the_right_shape():
    actions, _ = run("hopper-hop", small("hopper-hop"), 2)
    assert actions.dtype == np.float32
    assert actions.shape == (2, 4)


@pytest.mark.parametrize(
    ("task", "steps", "least"),
    [
        # Doing nothing gives about 0, 0 and 5 in as many steps.
        ("cheetah-run", 40, 6.0),
        ("point_mass-easy", 120, 8.0),
        ("reacher-easy", 80, 30.0),
    ],
)
def test_tuned_oracle_earns(task, steps, least):
    assert run(task, Oracle(task, spec_of_task(task)), steps)[1].sum() > least


def test_strayed_environment_is_planned_for_anew():
    settings = dataclasses.replace(SMALL, replan_every=8)
    oracle = small("cartpole-swingup", settings, threads=1)
    calm = run("cartpole-swingup", oracle, 8)[0]
    kick = lambda step, action: -np.ones(1, np.float32) if step == 2 else action  # noqa: E731
    kicked = run("cartpole-swingup", oracle, 8, disturb=kick)[0]
    np.testing.assert_array_equal(calm[:3], kicked[:3])
    assert not np.array_equal(calm[3:], kicked[3:])


def test_a_new_episode_without_reset_of_the_oracle_reads_the_new_target():
    env = DMControlEnv("reacher-easy", "seed200", None)
    oracle = small("reacher-easy", threads=1)
    observation = begin(oracle, env, 10_000)
    oracle.reset(observation, 5)
    for _ in range(3):
        env.step(oracle.act(observation))
    env.reset(seed=10_001)
    late = oracle.act(observation)
    fresh = small("reacher-easy", threads=1)
    fresh.attach(env)
    fresh.reset(observation, 5)
    np.testing.assert_array_equal(late, fresh.act(observation))


def test_repeat_and_the_end_of_the_episode():
    oracle = small("finger-spin", threads=1)
    actions, rewards = run("finger-spin", oracle, 500, protocol="dmc1000")
    assert len(actions) == 500
    assert rewards.max() <= 2


def test_search_climbs_and_never_forgets():
    target = np.linspace(-0.8, 0.8, 12)[:, None]
    score = lambda sequences: -np.square(sequences - target).sum((1, 2))  # noqa: E731
    bounds = -np.ones(1), np.ones(1)
    population = Population(SearchSettings(), 12, *bounds, np.random.default_rng(0))
    found = [population.improve(score, 1) for _ in range(40)]
    assert found == sorted(found)
    assert found[-1] > -0.3 > found[0]
    before = population.best
    population.shift(3)
    np.testing.assert_array_equal(population.best[:9], before[3:])
    np.testing.assert_array_equal(population.best[9:], before[[-1] * 3])


def test_unequal_bounds_are_kept():
    low, high = np.array([-2.0, 0.0]), np.array([1.0, 4.0])
    population = Population(SearchSettings(), 5, low, high, np.random.default_rng(0))
    seen = []
    population.improve(lambda s: seen.append(s) or np.zeros(len(s)), 3)
    drawn = np.concatenate(seen).reshape(-1, 2)
    assert (drawn >= low).all() and (drawn <= high).all()
    np.testing.assert_allclose(drawn.min(0), low)
    np.testing.assert_allclose(drawn.max(0), high)


def test_every_source_task_is_known_and_no_other():
    assert set(ORACLE_SETTINGS) == set(MEASURED_TASKS)
    assert oracle_settings("ball_in_cup-catch") is oracle_settings("cup-catch")
    assert isinstance(make_policy("oracle", spec_of_task("cup-catch"), "cup-catch"), Oracle)
    with pytest.raises(ForesightError, match=r"humanoid-run.*cheetah-run.*walker-walk"):
        small("humanoid-run")
