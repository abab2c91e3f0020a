"""Episodes, one at a time and in several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import make
from foresight.envs.render import RenderSettings
from foresight.rollout.episode import EpisodeSpec, run_episode
from foresight.rollout.pool import run_episodes

SMALL = RenderSettings(size=32)
SPECS = [
    EpisodeSpec(task, seed, "eps:0.3:expert", render=SMALL, steps=20 + seed)
    for seed in range(3)
    for task in ("reacher-easy", "point_mass-easy")
]


def same(a, b):
    names = ("frames", "proprio", "states", "actions", "rewards")
    return a.spec == b.spec and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in names
    )


@pytest.fixture(scope="module")
def alone():
    return list(run_episodes(SPECS, workers=1))


@pytest.mark.parametrize("workers", [2, 3])
def test_results_do_not_depend_on_the_number_of_workers(alone, workers):
    together = list(run_episodes(SPECS, workers=workers))
    assert len(together) == len(SPECS)
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert not multiprocessing.active_children()


def test_an_episode_pairs_observations_with_the_actions_taken_there(alone):
    episode = alone[0]
    env = make("reacher-easy", render=SMALL)
    observation, info = env.reset(seed=episode.spec.seed)
    assert episode.length == 20
    for t in range(episode.length):
        assert np.array_equal(episode.frames[t], observation["images"]["camera"])
        assert np.array_equal(episode.proprio[t], observation["state"])
        assert np.array_equal(episode.states[t], info["state"])
        observation, reward, *_, info = env.step(episode.actions[t])
        assert episode.rewards[t] == np.float32(reward)
    env.close()


def test_an_episode_without_frames_is_the_same_otherwise(alone):
    blind = run_episode(replace(SPECS[0], render=None))
    assert blind.frames is None
    assert np.array_equal(blind.states, alone[0].states)
    assert blind.return_ == alone[0].return_


def test_whole_episodes_have_the_protocols_length():
    spec = EpisodeSpec("cartpole-swingup", 0, "zero", "dmc1000", render=None)
    assert run_episode(spec).length == 500


def test_an_episode_that_its_task_ends_is_cut_there(monkeypatch):
    env = make("reacher-easy", render=SMALL)
    monkeypatch.setattr(
        env.dm_task, "get_termination", lambda physics: 0.0 if physics.time() > 0.09 else None
    )
    episode = run_episode(EpisodeSpec("reacher-easy", 0, "zero", render=SMALL), env)
    assert episode.length == len(episode.frames) == len(episode.states) == 5
    env.close()


def test_a_stored_action_is_the_one_the_simulator_got():
    episode = run_episode(EpisodeSpec("reacher-easy", 0, "constant:3", render=None, steps=2))
    assert np.array_equal(episode.actions, np.ones((2, 2), np.float32))


def test_an_environment_that_does_not_fit_is_refused():
    env = make("reacher-easy", render=None)
    with pytest.raises(ForesightError, match="reacher-easy"):
        run_episode(EpisodeSpec("walker-walk", 0, "zero", render=None), env)


def test_two_spellings_of_a_task_are_one_spec():
    assert EpisodeSpec("ball_in_cup-catch", 0, "zero") == EpisodeSpec("cup-catch", 0, "zero")


@pytest.mark.parametrize("steps", [0, -1, 201])
def test_a_bad_length_is_refused(steps):
    with pytest.raises(ForesightError, match="1 to 200"):
        EpisodeSpec("reacher-easy", 0, "zero", steps=steps)


@pytest.mark.parametrize("workers", [0, -1, 1.5, True])
def test_a_bad_number_of_workers_is_refused(workers):
    with pytest.raises(ForesightError, match="workers"):
        run_episodes(SPECS, workers=workers)


def test_an_error_in_a_worker_arrives_as_itself():
    specs = [SPECS[0], replace(SPECS[0], behaviour="nobody")]
    with pytest.raises(ForesightError, match="Unknown behaviour 'nobody'"):
        list(run_episodes(specs, workers=2))
    assert not multiprocessing.active_children()


def test_a_worker_that_dies_is_one_clear_sentence():
    specs = [EpisodeSpec("reacher-easy", seed, "zero", "dmc1000", SMALL) for seed in range(40)]
    episodes = run_episodes(specs, workers=2)
    next(episodes)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    with pytest.raises(ForesightError, match=r"worker process died \(exit code -9\)"):
        list(episodes)
    assert not multiprocessing.active_children()


def test_a_caller_that_stops_early_leaves_no_process_behind():
    episodes = run_episodes(SPECS * 5, workers=2)
    next(episodes)
    episodes.close()
    assert not multiprocessing.active_children()


SCRIPT = """
from foresight.rollout.episode import EpisodeSpec
from foresight.rollout.pool import run_episodes

if __name__ == "__main__":
    specs = [EpisodeSpec("reacher-easy", seed, "zero") for seed in range(1000)]
    for episode in run_episodes(specs, workers=2):
        print(episode.return_, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_caller(tmp_path, how):
    script = tmp_path / "collect.py"
    script.write_text(SCRIPT)
    caller = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite started in the background inherits an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert caller.stdout.readline()
    workers = psutil.Process(caller.pid).children(recursive=True)
    assert len(workers) >= 2
    caller.send_signal(how)
    _, errors = caller.communicate(timeout=20)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive
    if how == signal.SIGINT:
        assert errors.count("KeyboardInterrupt") == 1  # the caller's own, none of the workers'


def test_few_episodes_are_in_memory_at_once(monkeypatch):
    """However slow the caller is, the workers wait for it."""
    from foresight.rollout import pool as parallel

    started = []
    run = parallel._Worker.run
    monkeypatch.setattr(
        parallel._Worker, "run", lambda self, spec: started.append(spec) or run(self, spec)
    )
    specs = [replace(SPECS[0], seed=seed, steps=1) for seed in range(30)]
    for count, _ in enumerate(run_episodes(specs, workers=2)):
        time.sleep(0.02)
        assert len(started) <= count + 2 * parallel.AHEAD
    assert len(started) == 30
