"""A search in the true physics reaches what can be reached, and leaves the world as it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.envs import EnvConfig, make, spec_of
from foresight.envs.planar.tworoom import TwoRooms
from foresight.experts.planar_search import EVERY, ExactDynamics, ExactFactory
from foresight.planning.lewm import FAST_PLAN
from foresight.rollout import run_episodes

SMALL = replace(FAST_PLAN, samples=48, elites=8, iterations=4)


def test_futures_are_those_that_come_and_the_world_stays():
    world = TwoRooms()
    world.begin(np.random.default_rng(3))
    before = world.numbers.copy()
    actions = torch.rand(1, 3, 2 * EVERY, 2) * 2 - 1
    future = ExactDynamics(world).imagine(torch.zeros(1, 2), actions)
    assert future.shape == (1, 1, 3, 3, 2) and np.array_equal(world.numbers, before)
    for action in actions[0, 1].double().numpy():
        world.advance(action)
    np.testing.assert_allclose(future[0, 0, 1, -1], world.moved, rtol=1e-6)
    np.testing.assert_allclose(future[0, 0, 1, 0], before[:2], rtol=1e-6)


def test_goals_behind_the_wall_are_reached():
    env = EnvConfig("tworoom/point", cameras=())
    episodes = list(run_episodes(env, ExactFactory(SMALL), range(6)))
    assert all(episode.success for episode in episodes)
    ends = [episode.columns["sim.state"][[0, -1], 0] for episode in episodes]
    assert sum((begin < 0.5) != (end < 0.5) for begin, end in ends) >= 2


def test_it_says_what_it_cannot_look_into():
    policy = ExactFactory(SMALL)(spec_of(make("tworoom/point", cameras=())))
    with pytest.raises(ForesightError, match="call attach"):
        policy.reset(None, 0)
    with pytest.raises(ForesightError, match="no planar task"):
        policy.attach(make("dmc/reacher-easy", cameras=()))
