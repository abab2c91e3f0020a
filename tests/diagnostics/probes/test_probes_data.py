"""Windows end at the present, labels are the simulator's, and no episode is on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.data import Windows, scene_data, split_by_episode, task_data
from foresight.envs.registry import EnvConfig
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    env = EnvConfig("point_mass-easy", size=16)
    specs = [EpisodeSpec(env, 700_000 + i, "ar1:0.9", 14) for i in range(6)]
    return collect(tmp_path_factory.mktemp("data") / "set", specs, 1)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(0, 100))
def test_a_split_never_shares_an_episode(episodes, seed):
    episodes = np.array(episodes)
    if len(np.unique(episodes)) < 5:
        with pytest.raises(ForesightError, match="too few"):
            split_by_episode(episodes, seed)
        return
    split = split_by_episode(episodes, seed)
    parts = [split.train, split.validation, split.test]
    assert sorted(np.concatenate(parts)) == list(range(len(episodes)))
    names = [set(episodes[part]) for part in parts]
    assert all(names)
    assert not (names[0] & names[1] | names[0] & names[2] | names[1] & names[2])


def test_shares_of_the_split():
    split = split_by_episode(np.repeat(np.arange(300), 20))
    assert [len(part) // 20 for part in (split.train, split.validation, split.test)] == [
        210,
        30,
        60,
    ]


def test_windows_show_the_frames_that_end_at_the_labelled_step(store):
    data = task_data(store, Windows(3, 4, 2, seed=1))
    assert len(data) == 18
    clips = list(data.clips())
    assert [clip.shape for clip in clips] == [(3, 4, 16, 16, 3)] * 6
    for number, clip in enumerate(clips):
        frames, states = store.frames(number), store.episode(number).columns["sim.state"]
        for window, label in zip(clip, data.labels[data.episodes == number], strict=True):
            # The labels of point_mass are its state: they say which step it is.
            step = int(np.flatnonzero((states == label).all(axis=1))[0])
            assert step >= 6
            np.testing.assert_array_equal(window, frames[[step - 6, step - 4, step - 2, step]])
    again = task_data(store, Windows(3, 4, 2, seed=1))
    np.testing.assert_array_equal(again.labels, data.labels)
    assert again.fingerprint == data.fingerprint
    assert task_data(store, Windows(4, 4, 2)).fingerprint != data.fingerprint


def test_bad_windows_are_refused(store):
    with pytest.raises(ForesightError, match="3 frames"):
        task_data(store, Windows(frames=3))
    with pytest.raises(ForesightError, match="14 steps but a window reaches 14 steps back"):
        task_data(store, Windows(frames=8, stride=2))
    with pytest.raises(ForesightError, match="stride of 0"):
        task_data(store, Windows(stride=0))


def test_scenes_are_labelled_windows():
    data = scene_data(6, frames=2, size=16)
    clips = np.concatenate(list(data.clips()))
    assert clips.shape == (6, 2, 16, 16, 3)
    assert data.labels.shape == (6, 6)
    assert len(np.unique(data.episodes)) == 6
    assert data.measures == [
        "object-xy-r2",
        "object-size-r2",
        "object-depth-r2",
        "object-class-accuracy",
        "motion-direction-accuracy",
    ]
    np.testing.assert_array_equal(np.concatenate(list(data.clips())), clips)
    assert scene_data(6, frames=2, size=16).fingerprint == data.fingerprint
    with pytest.raises(ForesightError, match="4 scenes"):
        scene_data(4)
