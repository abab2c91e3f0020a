from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.data.check import check
from foresight.data.encoded import encode_episode
from foresight.data.store import EpisodeStore
from foresight.rollout.episode import Episode
from made_up import TIMESTEP, make_episode, tree


def fill(path, seeds, **kwargs) -> EpisodeStore:
    with EpisodeStore.open_or_create(path, control_timestep=TIMESTEP) as store:
        for seed in seeds:
            store.append(make_episode(seed, **kwargs))
    return store


def assert_equal(a: Episode, b: Episode) -> None:
    assert a.spec == b.spec
    for name in ("frames", "proprio", "states", "actions", "rewards"):
        x, y = getattr(a, name), getattr(b, name)
        if x is None or y is None:
            assert x is y
        else:
            assert x.dtype == y.dtype
            assert np.array_equal(x, y)


@pytest.mark.parametrize("kwargs", [{}, {"actions": 1}, {"frames": False}, {"size": 17}])
def test_episodes_come_back_as_they_were(tmp_path, kwargs):
    episodes = [make_episode(seed, steps=10 + seed, **kwargs) for seed in range(3)]
    with EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP) as store:
        assert [store.append(episode) for episode in episodes] == [0, 1, 2]
        for i, episode in enumerate(episodes):  # before the metadata are written
            assert_equal(store.episode(i), episode)
    store = EpisodeStore.open(tmp_path / "d")
    assert store.folded
    assert len(store) == 3
    assert store.lengths == [10, 11, 12]
    assert store.task == "reacher-easy"
    assert store.fps == 50
    assert store.render == episodes[0].spec.render
    for i, episode in enumerate(episodes):
        assert_equal(store.episode(i), episode)
        assert store.metas[i].return_ == episode.return_
    for name, attribute in [("action", "actions"), ("sim.state", "states")]:
        whole = np.concatenate([getattr(episode, attribute) for episode in episodes])
        assert np.array_equal(store.column(name), whole)
    assert store.column("next.reward").shape == (33,)
    assert check(tmp_path / "d", decode=True) == []


def test_sessions_do_not_show_in_the_files(tmp_path):
    whole = fill(tmp_path / "a", range(5))
    for seed in range(5):
        parts = fill(tmp_path / "b", [seed])
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert whole.fingerprint == parts.fingerprint


def test_fingerprint_follows_the_content(tmp_path):
    prints = {fill(tmp_path / "a", [0, 1]).fingerprint}
    prints.add(fill(tmp_path / "b", [1, 0]).fingerprint)
    prints.add(fill(tmp_path / "c", [0]).fingerprint)
    one, two = make_episode(0), make_episode(1)
    two.frames = two.frames.copy()
    two.frames[3, 2, 1, 0] ^= 1
    with EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP) as store:
        store.append(one)
        store.append(two)
    prints.add(store.fingerprint)
    assert len(prints) == 4
    assert EpisodeStore.open(tmp_path / "d").fingerprint == store.fingerprint


def test_what_a_killed_writer_left_is_found_and_tidied(tmp_path):
    store = EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP)
    for seed in range(3):
        store.append(make_episode(seed))
    store.release()  # a writer that never closes
    videos = tmp_path / "d/videos/observation.images.camera/chunk-000"
    (videos / "file-003.mp4").write_bytes(b"a video without its data")
    (tmp_path / "d/data/chunk-000/.file-003.parquet.99.tmp").write_bytes(b"half")
    assert len(EpisodeStore.open(tmp_path / "d")) == 3
    assert len(list(videos.iterdir())) == 4  # reading removes nothing
    fill(tmp_path / "d", range(3, 5))
    fill(tmp_path / "e", range(5))
    assert tree(tmp_path / "d") == tree(tmp_path / "e")


def test_reading_while_another_writes(tmp_path):
    with EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP) as writer:
        writer.append(make_episode(0))
        with EpisodeStore.open(tmp_path / "d") as reader:
            assert_equal(reader.episode(0), make_episode(0))
            writer.append(make_episode(1))
            with pytest.raises(ForesightError, match="Another process is writing"):
                reader.append(make_episode(2))
    with pytest.raises(ForesightError, match="has changed since it was opened"):
        reader.append(make_episode(2))
    assert len(EpisodeStore.open(tmp_path / "d")) == 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"size": 18}, r"frame size of .*18"),
        ({"actions": 3}, "action size of 3"),
        ({"frames": False}, "frame size of None"),
    ],
)
def test_episodes_of_another_kind_are_refused(tmp_path, change, says):
    store = fill(tmp_path / "d", [0])
    before = tree(tmp_path / "d")
    with store, pytest.raises(ForesightError, match=says):
        store.append(make_episode(1, **change))
    assert tree(tmp_path / "d") == before


def test_other_render_settings_are_refused(tmp_path):
    store = fill(tmp_path / "d", [0])
    other = make_episode(1)
    other.spec = replace(other.spec, render=replace(other.spec.render, quality="full"))
    with store, pytest.raises(ForesightError, match="render settings"):
        store.append(other)


def test_a_video_of_another_rate_is_refused(tmp_path):
    store = fill(tmp_path / "d", [0])
    with store, pytest.raises(ForesightError, match="30 frames a second"):
        store.append(encode_episode(make_episode(1), 30))


@pytest.mark.parametrize("name", ["actions", "rewards", "proprio", "states"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, name, value):
    episode = make_episode(0)
    getattr(episode, name)[7] = value
    store = EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP)
    with store, pytest.raises(ForesightError, match=f"{name}.*not finite at step 7"):
        store.append(episode)
    assert tree(tmp_path / "d") == {}


def test_arrays_of_different_length_are_refused(tmp_path):
    episode = make_episode(0)
    episode.rewards = episode.rewards[:-1]
    with (
        EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP) as store,
        pytest.raises(ForesightError, match="differ in length"),
    ):
        store.append(episode)


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="not a dataset"):
        EpisodeStore.open(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ForesightError, match="Cannot write"):
        EpisodeStore.create(tmp_path / "file" / "d", control_timestep=TIMESTEP)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(ForesightError, match=r"not empty.*thesis\.txt"):
        EpisodeStore.create(tmp_path / "full", control_timestep=TIMESTEP)
    fill(tmp_path / "d", [0])
    with pytest.raises(ForesightError, match="dataset already"):
        EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP)
    with pytest.raises(ForesightError, match=r"0\.02 s.*0\.04 s"):
        EpisodeStore.open_or_create(tmp_path / "d", control_timestep=0.04)
    with pytest.raises(ForesightError, match="time step"):
        EpisodeStore.create(tmp_path / "e", control_timestep=float("nan"))


def test_wrong_questions_are_refused(tmp_path):
    store = fill(tmp_path / "d", [0], frames=False)
    with pytest.raises(ForesightError, match="no episode 1"):
        store.episode(1)
    with pytest.raises(ForesightError, match="no column 'reward'"):
        store.column("reward")
    with pytest.raises(ForesightError, match="no frames"):
        store.frames(0)
    with store:
        store.append(make_episode(1, frames=False, task="reacher-hard"))
    assert store.tasks == ["reacher-easy", "reacher-hard"]
    with pytest.raises(ForesightError, match="reacher-hard"):
        _ = store.task


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ForesightError, match="Cannot write"):
        EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP)


def test_a_full_disk_loses_nothing_finished(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        episode = make_episode(0, steps=40, size=64)  # about 770 KB
        store = EpisodeStore.create(disk / "d", control_timestep=TIMESTEP)
        with pytest.raises(ForesightError, match="disk is full"), store:
            for _ in range(9):
                store.append(episode)
        again = EpisodeStore.open(disk / "d")
        assert len(again) == 2
        assert_equal(again.episode(1), episode)
        assert not [path for path in disk.rglob("*.tmp")]
        with again:
            again.append(make_episode(1, size=64))  # a small one still fits
        assert check(disk / "d") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_chunk_folders_hold_no_more_files_than_info_says(tmp_path, monkeypatch):
    monkeypatch.setattr("foresight.data.schema.CHUNKS_SIZE", 3)
    monkeypatch.setattr("foresight.data.index.CHUNKS_SIZE", 3)
    fill(tmp_path / "d", range(4))
    store = fill(tmp_path / "d", range(4, 7))
    assert (tmp_path / "d/data/chunk-001/file-002.parquet").exists()
    assert (tmp_path / "d/videos/observation.images.camera/chunk-002/file-000.mp4").exists()
    assert len(list((tmp_path / "d/data/chunk-000").iterdir())) == 3
    assert check(tmp_path / "d") == []
    for i in range(7):
        assert_equal(store.episode(i), make_episode(i))


def test_appending_does_not_slow_down(tmp_path):
    """Appending opens no older file, so that thousands of episodes are practical."""
    encoded = encode_episode(make_episode(0, steps=2), 50)
    store = EpisodeStore.create(tmp_path / "d", control_timestep=TIMESTEP)
    with store:
        store.append(encoded)
        for path in (tmp_path / "d/data/chunk-000").iterdir():
            path.rename(tmp_path / "away")
        for _ in range(40):
            store.append(encoded)
        (tmp_path / "away").rename(path)
    assert len(EpisodeStore.open(tmp_path / "d")) == 41
    assert check(tmp_path / "d") == []
