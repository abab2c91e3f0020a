from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.data import cache as cache_module
from foresight.data.cache import FeatureCache

LENGTHS = (4, 1, 6, 3)
SHAPE = (2, 5)


def make(root, dataset="d", encoder="e", readout="r", lengths=LENGTHS, **options):
    return FeatureCache.open_or_create(root, dataset, encoder, readout, lengths, SHAPE, **options)


def features(i):
    return np.random.default_rng(i).standard_normal((LENGTHS[i], *SHAPE)).astype(np.float32)


def filled(root):
    cache = make(root)
    for i in range(len(LENGTHS)):
        cache.write_episode(i, features(i))
    return cache


def test_reads_back_what_was_written(tmp_path):
    cache = make(tmp_path)
    assert cache.array.shape == (14, 2, 5)
    assert cache.offsets.tolist() == [0, 4, 5, 11, 14]
    assert not cache.done.any()
    cache.write_episode(2, features(2))
    assert cache.done.tolist() == [False, False, True, False]
    assert not cache.complete
    assert np.array_equal(cache.array[5:11], features(2))
    for i in (3, 0, 1):
        cache.write_episode(i, features(i))
    again = make(tmp_path)
    assert again.complete
    assert again.path == cache.path
    for i in range(4):
        assert np.array_equal(again.episode(i), features(i))
    assert not again.array.flags.writeable


def test_caches_of_different_things_do_not_meet(tmp_path):
    paths = {
        make(tmp_path).path,
        make(tmp_path, dataset="x").path,
        make(tmp_path, encoder="x").path,
        make(tmp_path, readout="x").path,
        make(tmp_path, dtype="float16").path,
    }
    assert len(paths) == 5


@pytest.mark.parametrize("what", ["dataset", "encoder", "readout"])
def test_opening_the_cache_of_another_is_refused(tmp_path, what):
    path = filled(tmp_path).path
    own = {
        "dataset_fingerprint": "d",
        "encoder_fingerprint": "e",
        "readout_fingerprint": "r",
    }
    assert FeatureCache.open(path, **own).complete
    with pytest.raises(ForesightError, match=f"another {what}"):
        FeatureCache.open(path, **{**own, f"{what}_fingerprint": "other"})


def test_a_folder_put_in_another_place_is_refused(tmp_path):
    cache = filled(tmp_path)
    other = make(tmp_path, encoder="x").path
    shutil.rmtree(other)
    cache.path.rename(other)
    with pytest.raises(ForesightError, match="another encoder"):
        make(tmp_path, encoder="x")


def test_same_key_with_other_lengths_is_refused(tmp_path):
    filled(tmp_path)
    with pytest.raises(ForesightError, match="another lengths"):
        make(tmp_path, lengths=(4, 1, 6, 4))


@pytest.mark.parametrize("name", ["features.bin", "done.bin"])
def test_a_truncated_file_is_found(tmp_path, name):
    path = filled(tmp_path).path
    os.truncate(path / name, 3)
    with pytest.raises(ForesightError, match=f"{name} has 3 bytes"):
        make(tmp_path)
    (path / name).unlink()
    with pytest.raises(ForesightError, match=f"{name} has 0 bytes"):
        FeatureCache.open(path)


def test_a_damaged_manifest_is_found(tmp_path):
    path = filled(tmp_path).path
    (path / "manifest.json").write_text('{"lengths": [1, 2')
    with pytest.raises(ForesightError, match="not valid JSON"):
        make(tmp_path)
    (path / "manifest.json").write_text("[]")
    with pytest.raises(ForesightError, match="not a feature cache's manifest"):
        make(tmp_path)
    (path / "manifest.json").unlink()
    with pytest.raises(ForesightError, match="does not exist"):
        FeatureCache.open(path)


def test_wrong_features_are_refused_and_nothing_is_marked(tmp_path):
    cache = make(tmp_path)
    bad = features(0)
    bad[1, 0, 0] = np.nan
    with pytest.raises(ForesightError, match="not finite"):
        cache.write_episode(0, bad)
    with pytest.raises(ForesightError, match="do not fit episode 1"):
        cache.write_episode(1, features(0))
    with pytest.raises(ForesightError, match="no episode 4"):
        cache.write_episode(4, features(0))
    half = make(tmp_path, dtype="float16")
    with pytest.raises(ForesightError, match="not finite as float16"):
        half.write_episode(0, np.full((4, *SHAPE), 1e6, np.float32))
    assert not cache.done.any()
    assert not half.done.any()


def test_an_empty_dataset_is_refused(tmp_path):
    with pytest.raises(ForesightError, match="0 episodes"):
        make(tmp_path, lengths=())


def test_creating_beside_a_writer_changes_nothing(tmp_path):
    cache = filled(tmp_path)
    before = (cache.path / "features.bin").read_bytes()
    cache_module._create(cache.path, cache.manifest)
    assert (cache.path / "features.bin").read_bytes() == before
    assert make(tmp_path).complete


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no posix_fallocate")
def test_a_full_disk_is_found_before_any_work(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ForesightError, match=r"needs 0\.00 GiB and the disk of .* GiB free"):
        make(tmp_path)
    assert not list(tmp_path.rglob("features.bin"))
    monkeypatch.undo()
    assert filled(tmp_path).complete


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="no posix_fallocate")
def test_space_is_taken_at_once(tmp_path):
    cache = FeatureCache.open_or_create(tmp_path, "d", "e", "r", [1000], (1000,))
    assert (cache.path / "features.bin").stat().st_blocks * 512 >= 4_000_000


def test_a_disk_that_fills_later_is_reported(tmp_path, monkeypatch):
    cache = make(tmp_path)

    def full(descriptor, data, offset):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(ForesightError, match="disk is full"):
        cache.write_episode(0, features(0))
    assert not cache.done.any()


KILLED = """
import os, signal, sys, numpy as np
from foresight.data.cache import FeatureCache
lengths, shape = (4, 1, 6, 3), (2, 5)
cache = FeatureCache.open_or_create(sys.argv[1], "d", "e", "r", lengths, shape)
real, calls = os.pwrite, 0
def pwrite(descriptor, data, offset):
    global calls
    if calls == int(sys.argv[2]):
        real(descriptor, data[: len(data) // 2], offset)
        os.kill(os.getpid(), signal.SIGKILL)
    calls += 1
    return real(descriptor, data, offset)
os.pwrite = pwrite
for i in range(4):
    features = np.random.default_rng(i).standard_normal((lengths[i], *shape)).astype(np.float32)
    cache.write_episode(i, features)
"""


@pytest.mark.parametrize(("writes", "finished"), [(0, 0), (1, 0), (4, 2), (7, 3)])
def test_a_killed_writer_loses_no_finished_episode(tmp_path, writes, finished):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "killed"), str(writes)]
    ended = subprocess.run(command, check=False)
    assert ended.returncode == -signal.SIGKILL
    cache = make(tmp_path / "killed")
    assert cache.done.tolist() == [i < finished for i in range(4)]
    for i in np.flatnonzero(cache.done):
        assert np.array_equal(cache.episode(i), features(i))
    for i in np.flatnonzero(~cache.done):
        cache.write_episode(i, features(i))
    whole = filled(tmp_path / "whole")
    for name in ("features.bin", "done.bin", "manifest.json"):
        assert (cache.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert json.loads((cache.path / "manifest.json").read_text())["encoder"] == "e"


def test_what_a_process_left_that_was_killed_while_it_made_a_cache_goes(tmp_path):
    """Killed between the files and their manifest, and again nothing but the cache is there."""
    whole = make(tmp_path / "whole")
    names = sorted(path.name for path in whole.path.iterdir())
    place = tmp_path / "cut" / whole.path.name
    shutil.copytree(whole.path, place)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (place / "manifest.json").rename(place / f".manifest.json.{gone.pid}.tmp")
    living = place / f".manifest.json.{os.getppid()}.tmp"
    living.write_text("half")  # another process is at it
    assert make(tmp_path / "cut").path == place
    assert sorted(path.name for path in place.iterdir()) == sorted([living.name, *names])
