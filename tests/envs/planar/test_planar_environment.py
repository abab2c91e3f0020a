"""Planar tasks: walls and pucks behave, goals are shown and never reached at the start."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.simulator import Simulator
from foresight.envs.check import check, fits
from foresight.envs.planar import push, tworoom
from foresight.envs.planar.push import PuckTable
from foresight.envs.planar.tasks import TASKS
from foresight.envs.planar.tworoom import TwoRooms
from foresight.envs.registry import EnvConfig, make


@pytest.mark.parametrize("task", TASKS)
def test_it_fits_and_says_so(task):
    findings = check(EnvConfig(task), episodes=2)
    assert fits(findings), [finding.text for finding in findings]
    assert any("Gymnasium's own checker" in finding.text for finding in findings)


@pytest.mark.parametrize("task", TASKS)
def test_no_start_is_solved_and_both_pictures_agree_with_the_truth(task):
    env = make(task).unwrapped
    assert isinstance(env, Simulator)
    for seed in range(40):
        seen, _ = env.reset(seed=seed)
        assert env.world.distance() > 2 * env.world.reach
        assert seen["images"]["view"].shape == (64, 64, 3)
        assert (seen["images"]["view"] != seen["images"]["goal"]).any()
    if task.startswith("tworoom"):
        # Put where the goal is, the agent makes the view equal to the goal picture, to the bit.
        state = env.get_state()
        state[:2] = state[2:4]
        moved = env.set_state(state)
        assert np.array_equal(moved["images"]["view"], moved["images"]["goal"])


def test_a_drawn_agent_stands_where_it_is():
    env = make("tworoom/point").unwrapped
    seen, _ = env.reset(seed=4)
    picture = seen["images"]["view"].astype(int)
    red = (picture[..., 0] - picture[..., 1]) > 80
    rows, columns = np.nonzero(red)
    centre = (np.array([columns.mean(), rows.mean()]) + 0.5) / 64
    assert np.abs(centre - env.world.agent).max() < 0.01


def test_a_state_goes_on_as_it_did():
    env = make("push/puck").unwrapped
    env.reset(seed=3)
    random = np.random.default_rng(0)
    actions = random.uniform(-1, 1, (12, 2)).astype(np.float32)
    for action in actions[:4]:
        env.step(action)
    state = env.get_state()
    first = [env.step(action)[0]["images"]["view"] for action in actions[4:]]
    env.set_state(state)
    again = [env.step(action)[0]["images"]["view"] for action in actions[4:]]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    with pytest.raises(ForesightError, match="7 finite numbers"):
        env.set_state(state[:-1])


@pytest.mark.parametrize("moving", [False, True])
def test_nobody_walks_through_the_wall_but_at_the_door(moving):
    world = TwoRooms(moving)
    random = np.random.default_rng(1)
    crossed = 0
    for _ in range(60):
        world.begin(random)
        for _ in range(40):
            before = world.agent.copy()
            world.advance(random.uniform(-1, 1, 2) + np.array([np.sign(0.5 - before[0]) / 2, 0]))
            assert world.free(*world.agent)
            inside = (world.agent >= tworoom.RADIUS) & (world.agent <= 1 - tworoom.RADIUS)
            assert inside.all()
            if (before[0] - 0.5) * (world.agent[0] - 0.5) < 0:
                crossed += 1
                assert abs(world.agent[1] - world.door) <= tworoom.DOOR
    assert crossed > 5


def test_a_puck_moves_only_while_it_is_pushed_and_never_overlaps():
    world = PuckTable()
    random = np.random.default_rng(2)
    touching, moved = push.FINGER + push.PUCK, 0
    for _ in range(40):
        world.begin(random)
        for _ in range(25):
            before, puck = world.agent.copy(), world.puck.copy()
            world.advance(np.sign(puck - before) + random.normal(0, 0.3, 2))
            apart = float(np.hypot(*(world.agent - world.puck)))
            assert apart >= touching - 1e-6
            assert (world.puck >= push.PUCK - 1e-9).all()
            if np.hypot(*(before - puck)) > touching + 2 * push.SPEED:
                assert np.array_equal(world.puck, puck)  # out of reach
            moved += not np.array_equal(world.puck, puck)
    assert moved > 100


def test_success_ends_an_episode_and_is_its_reward():
    env = make("tworoom/point").unwrapped
    env.reset(seed=0)
    state = env.get_state()
    state[:2] = state[2:4]
    env.set_state(state)
    _, reward, terminated, truncated, info = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, truncated, info["success"]) == (1.0, True, False, True)
    with pytest.raises(ForesightError, match="reset"):
        env.step(np.zeros(2, np.float32))
    whole = make("tworoom/point", protocol="whole").unwrapped
    whole.reset(seed=0)
    whole.set_state(state)
    assert whole.step(np.zeros(2, np.float32))[1:4] == (1.0, False, False)


def test_what_cannot_be_is_refused():
    for options, words in (
        ({"cameras": ["front"]}, "view, goal"),
        ({"size": 8}, "16 to 1024"),
        ({"protocol": "long"}, "first-success"),
    ):
        with pytest.raises(ForesightError, match=words):
            make("tworoom/point", **options)
    with pytest.raises(ForesightError, match="tworoom/point"):
        make("tworoom/dot")
