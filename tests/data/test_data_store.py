"""A dataset's folder over its life: writers, readers, crashes, disks."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.data.check import check
from foresight.data.dataset import Dataset
from foresight.data.encoding import encode_episode
from foresight.data.video import encode_video
from made_up import make_episode, make_spec, open_or_create, tree


def fill(path, seeds, **kwargs) -> Dataset:
    shape = {name: kwargs[name] for name in ("size", "actions", "frames") if name in kwargs}
    with open_or_create(path, **shape) as store:
        for seed in seeds:
            store.append(make_episode(seed, **kwargs))
    return store


def test_fingerprint_follows_the_content(tmp_path):
    prints = {fill(tmp_path / "a", [0, 1]).fingerprint}
    prints.add(fill(tmp_path / "b", [1, 0]).fingerprint)
    prints.add(fill(tmp_path / "c", [0]).fingerprint)
    frames = make_episode(1).images["camera"].copy()
    frames[3, 2, 1, 0] ^= 1
    with open_or_create(tmp_path / "d") as store:
        store.append(make_episode(0))
        store.append(replace(make_episode(1), images={"camera": frames}))
    prints.add(store.fingerprint)
    assert len(prints) == 4
    assert Dataset.open(tmp_path / "d").fingerprint == store.fingerprint


def test_what_a_killed_writer_left_is_found_and_tidied(tmp_path):
    store = Dataset.create(tmp_path / "d", make_spec())
    for seed in range(3):
        store.append(make_episode(seed))
    store.release()  # a writer that never closes
    videos = tmp_path / "d/videos/observation.images.camera/chunk-000"
    stray = encode_video(make_episode(9).images["camera"], 50)
    (videos / "file-003.mp4").write_bytes(stray)  # a video without its data
    (tmp_path / "d/data/chunk-000/.file-003.parquet.99.tmp").write_bytes(b"half")
    assert len(Dataset.open(tmp_path / "d")) == 3
    assert len(list(videos.iterdir())) == 4  # reading removes nothing
    fill(tmp_path / "d", range(3, 5))
    fill(tmp_path / "e", range(5))
    assert tree(tmp_path / "d") == tree(tmp_path / "e")


def test_a_writer_leaves_alone_what_another_program_put_there(tmp_path):
    fill(tmp_path / "d", [0])
    videos = tmp_path / "d/videos/observation.images.camera/chunk-000"
    (videos / "file-001.mp4").write_bytes(b"another program's")
    (tmp_path / "d/data/chunk-000/file-002.parquet").write_bytes(b"another program's")
    before = tree(tmp_path / "d")
    store = fill(tmp_path / "d", [1])
    after = tree(tmp_path / "d")
    assert {n: after[n] for n in before if "meta" not in n} == {
        n: before[n] for n in before if "meta" not in n
    }
    assert np.array_equal(store.frames(1), make_episode(1).images["camera"])
    assert store.metas[1].number == 3


def test_reading_while_another_writes(tmp_path):
    with Dataset.create(tmp_path / "d", make_spec()) as writer:
        writer.append(make_episode(0))
        with Dataset.open(tmp_path / "d") as reader:
            assert np.array_equal(reader.frames(0), make_episode(0).images["camera"])
            writer.append(make_episode(1))
            with pytest.raises(ForesightError, match="Another process is writing"):
                reader.append(make_episode(2))
    with pytest.raises(ForesightError, match="has changed since it was opened"):
        reader.append(make_episode(2))
    assert len(Dataset.open(tmp_path / "d")) == 2


def test_wrong_folders_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="not a dataset"):
        Dataset.open(tmp_path / "nothing")
    (tmp_path / "file").write_text("x")
    with pytest.raises(ForesightError, match="Cannot write"):
        Dataset.create(tmp_path / "file" / "d", make_spec())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    with pytest.raises(ForesightError, match=r"not empty.*thesis\.txt"):
        Dataset.create(tmp_path / "full", make_spec())
    fill(tmp_path / "d", [0])
    with pytest.raises(ForesightError, match="dataset already"):
        Dataset.create(tmp_path / "d", make_spec())
    with pytest.raises(ForesightError, match="25 times a second, the other 50"):
        Dataset.open_or_create(tmp_path / "d", replace(make_spec(), fps=25.0))
    with pytest.raises(ForesightError, match="needs an action"):
        Dataset.create(tmp_path / "e", Spec())


def test_one_task_or_several(tmp_path):
    store = fill(tmp_path / "d", [0], frames=False)
    with pytest.raises(ForesightError, match="no frames"):
        store.frames(0)
    assert store.only_task == "reacher-easy"
    with store:
        store.append(make_episode(1, frames=False, task="reacher-hard"))
    assert store.tasks == ["reacher-easy", "reacher-hard"]
    with pytest.raises(ForesightError, match="reacher-hard"):
        _ = store.only_task


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ForesightError, match="Cannot write"):
        Dataset.create(tmp_path / "d", make_spec())


def test_a_full_disk_loses_nothing_finished(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a small disk here")
    try:
        episode = make_episode(0, steps=40, size=64)  # about 770 KB
        store = Dataset.create(disk / "d", make_spec(64))
        with pytest.raises(ForesightError, match="disk is full"), store:
            for _ in range(9):
                store.append(episode)
        again = Dataset.open(disk / "d")
        assert len(again) == 2
        assert np.array_equal(again.frames(1), episode.images["camera"])
        assert not [path for path in disk.rglob("*.tmp")]
        with again:
            again.append(make_episode(1, size=64))  # a small one still fits
        assert check(disk / "d") == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_chunk_folders_hold_no_more_files_than_info_says(tmp_path, monkeypatch):
    monkeypatch.setattr("foresight.data.layout.CHUNKS_SIZE", 3)
    fill(tmp_path / "d", range(4))
    store = fill(tmp_path / "d", range(4, 7))
    assert (tmp_path / "d/data/chunk-001/file-002.parquet").exists()
    assert (tmp_path / "d/videos/observation.images.camera/chunk-002/file-000.mp4").exists()
    assert len(list((tmp_path / "d/data/chunk-000").iterdir())) == 3
    assert check(tmp_path / "d") == []
    for i in range(7):
        assert np.array_equal(store.frames(i), make_episode(i).images["camera"])


def test_appending_does_not_slow_down(tmp_path):
    """Appending opens no older file, so that thousands of episodes are practical."""
    encoded = encode_episode(make_episode(0, steps=2))
    store = Dataset.create(tmp_path / "d", make_spec())
    with store:
        store.append(encoded)
        for path in (tmp_path / "d/data/chunk-000").iterdir():
            path.rename(tmp_path / "away")
        for _ in range(40):
            store.append(encoded)
        (tmp_path / "away").rename(path)
    assert len(Dataset.open(tmp_path / "d")) == 41
    assert check(tmp_path / "d") == []
