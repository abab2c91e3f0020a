"""Repeat, limit, cameras, sizes, history: each against a plain loop over the bare environment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_robot import FRONT, LIMIT, WRIST, fake_robot
from foresight.core.errors import ForesightError
from foresight.envs.interface import limit_of, spec_of
from foresight.envs.registry import make
from foresight.envs.wrappers import ActionRepeat, History, ResizeImages, SelectCameras, TimeLimit


def actions(seed, count):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (count, 2)).astype(np.float32)


@settings(max_examples=20, deadline=None)
@given(repeat=st.integers(1, 7), seed=st.integers(0, 50))
def test_repeating_sums_rewards_and_stops_at_the_end(repeat, seed):
    env, bare = ActionRepeat(fake_robot(), repeat), fake_robot()
    assert spec_of(env).fps == pytest.approx(10 / repeat)
    env.reset(seed=seed)
    bare.reset(seed=seed)
    over = False
    for action in actions(seed, LIMIT):
        total = 0.0
        for _ in range(repeat):
            seen, reward, terminated, truncated, _ = bare.step(action)
            total += reward
            over = terminated or truncated
            if over:
                break
        found, *rest = env.step(action)
        assert rest[:3] == [pytest.approx(total), terminated, truncated]
        np.testing.assert_array_equal(found["state"], seen["state"])
        if over:
            break
    assert over


@pytest.mark.parametrize("limit", [1, 5])
def test_a_time_limit_truncates(limit):
    env = TimeLimit(fake_robot(), limit)
    for _ in range(2):  # the count begins anew
        env.reset(seed=0)
        ends = [env.step(np.zeros(2))[2:4] for _ in range(limit)]
        assert ends == [(False, False)] * (limit - 1) + [(False, True)]


def test_a_task_that_ends_at_the_limit_is_terminated_not_truncated():
    env = fake_robot()
    env.reset(seed=0)
    steps, over = 0, False
    while not over:
        over = env.step(env.unwrapped.towards_goal())[2]
        steps += 1
    limited = TimeLimit(env, steps)
    limited.reset(seed=0)
    ends = [limited.step(env.unwrapped.towards_goal())[2:4] for _ in range(steps)]
    assert ends[-1] == (True, False)


def test_limits_are_counted_in_decisions():
    env = make("reacher-easy", cameras=(), action_repeat=3)
    assert limit_of(env) == 67
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[3] for _ in range(67)] == [False] * 66 + [True]
    assert limit_of(TimeLimit(env, 100)) == 67
    assert limit_of(TimeLimit(env, 7)) == 7


def test_cameras_are_chosen_in_order():
    env = SelectCameras(fake_robot(), ["wrist"])
    assert dict(spec_of(env).cameras) == {"wrist": WRIST}
    seen, _ = env.reset(seed=0)
    assert list(seen["images"]) == ["wrist"]
    assert env.observation_space.contains(seen)
    turned = SelectCameras(fake_robot(), ["wrist", "front"])
    assert list(spec_of(turned).cameras) == list(turned.reset(seed=0)[0]["images"])
    blind = SelectCameras(fake_robot(), [])
    assert list(blind.reset(seed=0)[0]) == ["state"]
    with pytest.raises(ForesightError, match=r"no camera 'side'.*'front', 'wrist'"):
        SelectCameras(fake_robot(), ["side"])


def test_pictures_of_half_the_size_are_means_of_their_pixels():
    env = ResizeImages(fake_robot(), {"front": (FRONT[0] // 2, FRONT[1] // 2)})
    assert dict(spec_of(env).cameras) == {"front": (16, 24), "wrist": WRIST}
    seen, _ = env.reset(seed=3)
    whole = fake_robot().reset(seed=3)[0]["images"]["front"].astype(float)
    means = whole.reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
    assert np.abs(seen["images"]["front"] - means).max() <= 0.51
    assert env.observation_space.contains(seen)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 60), width=st.integers(1, 60))
def test_pictures_have_the_size_that_the_spec_promises(height, width):
    env = ResizeImages(fake_robot(), (height, width))
    seen, _ = env.reset(seed=0)
    assert dict(spec_of(env).cameras) == {"front": (height, width), "wrist": (height, width)}
    for picture in seen["images"].values():
        assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
        assert picture.flags.c_contiguous
        assert picture.flags.writeable


@pytest.mark.parametrize("size", [0, -3, 1.5, (4, 0), (4,), (1, 2, 3), "big", True])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ForesightError):
        ResizeImages(fake_robot(), size)


@settings(max_examples=20, deadline=None)
@given(states=st.integers(1, 4), acted=st.integers(0, 3), seed=st.integers(0, 9))
def test_history_against_a_list(states, acted, seed):
    env, bare = History(fake_robot(), states, acted), fake_robot()
    names = [axis.name for axis in spec_of(env).state]
    assert len(set(names)) == len(names) == 4 * states + 2 * acted
    first = bare.reset(seed=seed)[0]["state"]
    felt, done = [first] * states, [np.zeros(2, np.float32)] * acted
    found, _ = env.reset(seed=seed)
    for action in actions(seed, 5):
        np.testing.assert_array_equal(
            found["state"], np.concatenate([*felt[-states:], *done[len(done) - acted :]])
        )
        assert env.observation_space.contains(found)
        felt.append(bare.step(action)[0]["state"])
        done.append(action)
        found = env.step(action)[0]
    assert names[4 * (states - 1)] == "joints_0"


@pytest.mark.parametrize(
    "made",
    [
        lambda env: ActionRepeat(env, 0),
        lambda env: TimeLimit(env, 0),
        lambda env: TimeLimit(env, 2.0),
        lambda env: History(env, 0),
        lambda env: History(env, 2, -1),
    ],
)
def test_numbers_that_are_none_are_refused(made):
    with pytest.raises(ForesightError, match="give a whole number from"):
        made(fake_robot())
