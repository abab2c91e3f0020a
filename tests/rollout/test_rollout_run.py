"""One rollout: any environment, endings, columns, and the same numbers however it is run."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from fake_robot import LIMIT, FakeRobot
from foresight.core.errors import ForesightError
from foresight.core.simulator import Privileged
from foresight.core.stopwatch import Stopwatch
from foresight.envs.registry import EnvConfig
from foresight.policies import NamedPolicy
from foresight.rollout import Film, VectorRollout, run_episodes
from pool_jobs import holds_torch
from robots import ROBOT, Deadly, Driver, Moody, Together, Wrong, sized, unfit

SEEDS = [3, 1, 4, 15, 9]
RANDOM = NamedPolicy("random")


def same(a, b):
    arrays = [(a.state, b.state), (a.action, b.action), (a.reward, b.reward)]
    arrays += [(a.images[name], b.images[name]) for name in a.images]
    arrays += [(a.columns[name], b.columns[name]) for name in a.columns]
    plain = (a.terminated, a.success, a.info["seed"], a.info["return"], a.info["notes"])
    return (
        plain == (b.terminated, b.success, b.info["seed"], b.info["return"], b.info["notes"])
        and set(a.images) == set(b.images)
        and set(a.columns) == set(b.columns)
        and all(np.array_equal(x, y) for x, y in arrays)
    )


@pytest.fixture(scope="module")
def driven():
    return list(run_episodes(ROBOT, Driver, SEEDS))


def test_an_episode_is_what_was_lived(driven):
    for seed, episode in zip(SEEDS, driven, strict=True):
        env = FakeRobot()
        raw, _ = env.reset(seed=seed)
        for t in range(len(episode)):
            assert np.array_equal(episode.images["front"][t], raw["front"])
            assert np.array_equal(episode.images["wrist"][t], raw["wrist"])
            assert np.array_equal(episode.state[t], raw["joints"])
            assert np.array_equal(episode.action[t], env.towards_goal())
            raw, reward, terminated, _truncated, _ = env.step(episode.action[t])
            assert episode.reward[t] == np.float32(reward)
        assert terminated and episode.terminated and episode.success
        assert episode.task == "drive to the green square" and episode.fps == 10
        assert episode.info["seed"] == seed and episode.info["environment"] == ROBOT.id
        assert not episode.columns


def test_episodes_that_end_early_are_cut_there_and_others_run_out_of_time(driven):
    assert all(len(episode) < LIMIT for episode in driven)
    (idle,) = run_episodes(ROBOT, NamedPolicy("zero"), [0])
    assert len(idle) == LIMIT and not idle.terminated and idle.success is False
    (short,) = run_episodes(ROBOT, NamedPolicy("zero"), [0], max_steps=4)
    assert len(short) == 4 and not short.terminated


@pytest.mark.parametrize("parallel", [2, 3, 8])
def test_how_many_run_side_by_side_changes_nothing(driven, parallel):
    found = list(run_episodes(ROBOT, Driver, SEEDS, parallel=parallel))
    assert all(same(a, b) for a, b in zip(driven, found, strict=True))
    alone = list(run_episodes(ROBOT, RANDOM, SEEDS, max_steps=9))
    beside = run_episodes(ROBOT, RANDOM, SEEDS, max_steps=9, parallel=parallel)
    assert all(same(a, b) for a, b in zip(alone, beside, strict=True))


def test_workers_change_nothing_not_even_global_generators():
    alone = list(run_episodes(ROBOT, Moody, SEEDS, max_steps=12))
    there = list(run_episodes(ROBOT, Moody, SEEDS, max_steps=12, workers=2))
    assert all(same(a, b) for a, b in zip(alone, there, strict=True))
    assert alone[0].info["notes"] == {"remembered": 12}
    (again,) = run_episodes(ROBOT, Moody, SEEDS[-1:], max_steps=12)
    assert same(again, alone[-1])


def test_the_callers_generators_stay_where_they_were():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    list(run_episodes(ROBOT, Moody, [5, 6], max_steps=3))
    assert (random.random(), np.random.rand(), float(torch.rand(()))) == expected


def test_a_batch_policy_is_asked_once_a_step_and_told_who_is_done():
    made = []

    def make(spec):
        made.append(Together(spec))
        return made[-1]

    episodes = list(run_episodes(ROBOT, make, [0, 1, 2], parallel=3))
    (policy,) = made
    lengths = [len(episode) for episode in episodes]
    assert len(policy.batches) == max(lengths)
    for robot, length in enumerate(lengths):
        asked = [batch[robot] for batch in policy.batches]
        assert asked == [t < length for t in range(max(lengths))]
    assert [episode.info["notes"]["robot"] for episode in episodes] == [0, 1, 2]


def test_every_seed_may_have_a_policy_of_its_own(driven):
    makers = [Driver, RANDOM, Driver, RANDOM, Driver]
    found = list(run_episodes(ROBOT, makers, SEEDS, parallel=4))
    assert all(same(found[i], driven[i]) for i in (0, 2, 4))
    assert not same(found[1], driven[1])
    with pytest.raises(ForesightError, match="2 policies for 5 seeds"):
        run_episodes(ROBOT, makers[:2], SEEDS)


def test_an_expert_is_asked_at_every_state(driven):
    (episode,) = run_episodes(ROBOT, RANDOM, [3], expert=Driver)
    (plain,) = run_episodes(ROBOT, RANDOM, [3])
    assert np.array_equal(plain.action, episode.action)
    env = FakeRobot()
    env.reset(seed=3)
    for t in range(len(episode)):
        assert np.array_equal(episode.columns["action.expert"][t], env.towards_goal())
        env.step(episode.action[t])


def test_what_a_delay_executes_is_kept_beside_what_was_asked_for():
    (episode,) = run_episodes(replace(ROBOT, action_delay=2), RANDOM, [3], max_steps=8)
    issued = episode.columns["action.issued"]
    assert not episode.action[:2].any()
    assert np.array_equal(episode.action[2:], issued[:-2])


def test_a_simulators_true_state_is_a_column_and_actions_are_those_within_the_bounds():
    config = EnvConfig("dmc/reacher-easy", cameras=())
    (episode,) = run_episodes(config, NamedPolicy("constant:3"), [0], max_steps=3)
    assert np.array_equal(episode.action, np.ones((3, 2), np.float32))
    assert not episode.images and episode.success is None
    env = config.make()
    _, info = env.reset(seed=0)
    for state in episode.columns["sim.state"]:
        assert np.array_equal(state, info["state"])
        *_, info = env.step(np.ones(2, np.float32))


def test_films_are_drawn_apart_from_what_the_policy_sees():
    config = EnvConfig("dmc/reacher-easy", size=32)
    film = Film((1,), 48)
    found = list(run_episodes(config, RANDOM, [0, 1], max_steps=3, film=film, parallel=2))
    assert "film" not in found[0].info
    assert found[1].info["film"].shape == (3, 48, 48, 3)
    plain = list(run_episodes(config, RANDOM, [0, 1], max_steps=3))
    assert all(
        np.array_equal(a.images["camera"], b.images["camera"])
        for a, b in zip(found, plain, strict=True)
    )
    robot = EnvConfig.of(ROBOT.id, render_mode="rgb_array")
    (episode,) = run_episodes(robot, RANDOM, [1], max_steps=2, film=film)
    assert np.array_equal(episode.info["film"], episode.images["front"])
    with pytest.raises(ForesightError, match="cannot be filmed"):
        list(run_episodes(ROBOT, RANDOM, [1], film=film))


def test_what_is_made_of_an_episode_is_made_where_it_was_run():
    told = []
    found = list(
        run_episodes(
            ROBOT, Driver, SEEDS, workers=2, images=False, finish=sized, on_episode=told.append
        )
    )
    assert [seed for seed, _ in found] == SEEDS
    assert sorted(told) == sorted(found)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Wrong, "not finite"),
        (lambda spec: Wrong(spec, (0.0,)), r"shape \[1\] where .* takes 2 numbers"),
        (unfit, "no weights at x"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(make, words):
    with pytest.raises(ForesightError, match=words):
        list(run_episodes(ROBOT, make, [0]))


def test_a_policy_that_kills_its_worker_is_one_sentence():
    with pytest.raises(ForesightError, match=r"worker of driving died \(exit code 7"):
        list(run_episodes(ROBOT, Deadly, [0, 1], workers=2, label="driving"))


@pytest.mark.parametrize("options", [{"parallel": 0}, {"max_steps": 0}, {"workers": 0}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(ForesightError):
        list(run_episodes(ROBOT, RANDOM, [0, 1], **options))


def test_a_vector_is_timed_and_takes_as_many_seeds_as_it_has_environments():
    watch = Stopwatch()
    with VectorRollout(ROBOT, 2, max_steps=3, expert=Driver, watch=watch) as rollout:
        episodes = rollout.run(Together(rollout.spec), [0, 1])
        assert [len(episode) for episode in episodes] == [3, 3]
        assert set(watch.seconds) == {"simulate", "expert", "act"}
        assert isinstance(rollout.experts[0], Privileged)
        with pytest.raises(ForesightError, match="3 episodes in 2 environments"):
            rollout.run(Together(rollout.spec), [0, 1, 2])


def test_workers_of_policies_without_weights_never_load_torch():
    found = run_episodes(ROBOT, RANDOM, SEEDS[:2], workers=2, max_steps=2, finish=holds_torch)
    assert list(found) == [False, False]
