"""What disagreement costs and where it ends a dream, measured on a model's own data."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dream_worlds import Line, places
from foresight.core.errors import ForesightError
from foresight.training.doubt import WINDOWS, measure_doubt
from foresight.training.replay import Replay
from joint_worlds import tiny

APART = (-0.1, 0.0, 0.1)


def test_price_and_limit_are_those_of_a_loop_over_windows():
    world, replay = Line(bias=APART), places()
    found = measure_doubt(world, replay, horizon=3, quantile=0.5, seed=4)
    windows = replay.sample((WINDOWS,), 3, np.random.default_rng([4, 1]))
    error, spread = 0.0, 0.0
    for i in range(WINDOWS):
        z = float(windows.states[i, 0, 0])
        for step in range(3):
            seen, action = float(windows.states[i, step, 0]), float(windows.actions[i, step, 0])
            if windows.followed[i, step]:
                error += abs(seen**2 - z**2)
                spread += 0.1
            z += 0.5 * action + APART[i % 3]
    assert not windows.followed.all()  # after an episode's last decision nothing is known
    assert found.price == pytest.approx(error / spread, rel=1e-4)
    assert found.limit == pytest.approx(0.1, rel=1e-4)
    rewards = world.reward_of(windows.states[:, :3], windows.actions)
    assert found.lowest == pytest.approx(float(rewards.quantile(0.001)), rel=1e-4)
    assert found.highest == pytest.approx(float(rewards.quantile(0.999)), rel=1e-3, abs=1e-5)


def test_the_quantile_says_how_much_of_the_data_is_doubted():
    world, replay = Line(bias=APART, doubtful_from=0.0), places()
    limits = [measure_doubt(world, replay, 2, q).limit for q in (0.1, 0.99)]
    assert limits[0] < 1e-4 and limits[1] == pytest.approx(0.1, rel=1e-4)


def test_a_lone_network_has_no_doubts():
    found = measure_doubt(Line(bias=(0.2,)), places(), 3, 0.9)
    assert (found.price, found.limit) == (0.0, float("inf"))


def test_what_cannot_be_dreamt_with_is_refused():
    with pytest.raises(ForesightError, match="0 decisions"):
        measure_doubt(Line(), Replay(5, 0, 1, latent=1), 3, 0.9)
    blind = Line()
    blind.reward = None
    with pytest.raises(ForesightError, match="predicts no reward"):
        measure_doubt(blind, places(), 3, 0.9)
    remembers = tiny()
    remembers.dynamics.context = 8
    with pytest.raises(ForesightError, match="ask for a history"):
        measure_doubt(remembers, places(), 3, 0.9)
    broken = Line(bias=(float("nan"), 0.0))
    with pytest.raises(ForesightError, match=r"not finite.*train it again"):
        measure_doubt(broken, places(), 3, 0.9)
    assert torch.is_grad_enabled()
