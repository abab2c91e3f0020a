"""The study's own robot: nothing but its cameras shows the cup, and its demonstrator finds it."""

from __future__ import annotations

import numpy as np

from foresight.envs.check import check
from foresight.envs.registry import EnvConfig, make
from foresight.policies import NamedPolicy
from foresight.rollout import run_episodes
from studies.own_data.study import ENV


def test_it_is_a_robot_that_anybody_could_have_written():
    found = check(EnvConfig(ENV))
    assert not [one for one in found if one.verdict == "fault"], found


def test_its_demonstrator_closes_the_hand_at_the_cup():
    env = EnvConfig(ENV)
    episodes = list(run_episodes(env, NamedPolicy("pointer-demonstrator", ENV), range(8)))
    assert all(episode.success and episode.terminated for episode in episodes)
    closed = [episode.action[:, 2] > 0 for episode in episodes]
    assert all(each[-1] and not each[:-1].any() for each in closed)


def test_only_the_cameras_show_the_cup():
    env = make(ENV)
    first, _ = env.reset(seed=1)
    inner = env.unwrapped
    inner.cup = -inner.cup
    moved = inner._observe()
    assert np.array_equal(moved["joints"], first["state"])
    assert not np.array_equal(moved["top"], first["images"]["top"])
    assert not np.array_equal(moved["side"], first["images"]["side"])
