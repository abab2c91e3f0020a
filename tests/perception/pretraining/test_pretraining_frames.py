"""The bank: exact frames, clips within training episodes, one decoding for all processes."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock

import numpy as np
import pytest
from tiny_pretraining import make_dataset, numbered, squares

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.perception import encode
from foresight.perception.preprocess import PicturePreparation
from foresight.perception.pretraining import frames as module
from foresight.perception.pretraining.frames import Clips, FrameBank


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [
        make_dataset(folder / "a", numbered, [20, 9, 3, 20, 20, 20, 20, 20, 20, 20]),
        make_dataset(folder / "b", lambda i, steps: numbered(i + 10, steps), [30, 2]),
    ]


@pytest.fixture(scope="module")
def bank(stores, tmp_path_factory):
    return FrameBank(stores, tmp_path_factory.mktemp("bank"))


@pytest.fixture
def decoded(monkeypatch):
    """Names of all episodes that are decoded, in order."""
    found, lock, real = [], Lock(), Dataset.frames

    def frames(dataset, i, *part):
        with lock:
            found.append((dataset.path.name, i))
        return real(dataset, i, *part)

    monkeypatch.setattr(Dataset, "frames", frames)
    return found


def draw(bank, frames=4, strides=(1, 2, 3), batch=400, seed=0, **more):
    return bank.draw(Clips(frames, strides), batch, np.random.default_rng(seed), **more)


def numbers(clips):
    """Episode ``[B]`` (constant in each clip) and steps ``[B, T]``."""
    episodes = clips[:, :, 0, 0, 0] // 7
    assert (episodes == episodes[:, :1]).all()
    return episodes[:, 0], clips[:, :, 0, 0, 1].astype(int)


def test_rows_are_the_frames_of_the_stores_in_turn(bank, stores):
    assert bank.frames.shape == (204, 16, 16, 3)
    row = 0
    for store in stores:
        for i in range(len(store)):
            start, length = bank.starts[row], bank.lengths[row]
            assert np.array_equal(bank.frames[start : start + length], store.frames(i))
            row += 1


def test_clips_are_of_training_episodes_and_evenly_spaced(bank):
    episodes, steps = numbers(draw(bank))
    assert set(episodes) == set(bank.train)
    assert len(bank.train) == 9 + 2  # one of ten is held out, none of two
    gaps = np.diff(steps, axis=1)
    long = bank.lengths[episodes] >= 4
    assert (gaps[long] == gaps[long][:, :1]).all()
    roomy = bank.lengths[episodes] >= 10
    assert set(gaps[roomy][:, 0]) == {1, 2, 3}
    assert (steps >= 0).all()
    assert (steps < bank.lengths[episodes][:, None]).all()


def test_every_part_of_an_episode_is_seen(bank):
    episodes, steps = numbers(draw(bank, frames=2, strides=(4,), batch=4000))
    of_one = steps[episodes == 10]
    assert set(of_one[:, 0]) == set(range(26))
    assert (of_one[:, 1] == of_one[:, 0] + 4).all()
    assert np.mean(episodes == 10) == pytest.approx(30 / bank.lengths[bank.train].sum(), rel=0.2)


def test_a_short_episode_takes_the_largest_stride_that_fits(bank):
    episodes, steps = numbers(draw(bank, strides=(3,), batch=3000))
    assert (np.diff(steps[episodes == 1], axis=1) == 2).all()  # nine frames: 0 2 4 6, 1 3 5 7, ...
    assert (steps[episodes == 11] == [0, 1, 1, 1]).all()  # two frames: the last one stays
    episodes, steps = numbers(draw(bank, strides=(19,), frames=2, batch=500))
    assert (steps[bank.lengths[episodes] == 20] == [0, 19]).all()


def test_the_same_seed_gives_the_same_clips(bank):
    assert np.array_equal(draw(bank, shift=2), draw(bank, shift=2))
    assert not np.array_equal(draw(bank), draw(bank, seed=1))


def test_a_shift_moves_all_frames_of_a_clip_alike_and_repeats_the_border(bank):
    still, moved = draw(bank, batch=60), draw(bank, batch=60, shift=2)
    padded = np.pad(still, [(0, 0), (0, 0), (2, 2), (2, 2), (0, 0)], mode="edge")
    found = set()
    for clip, wide in zip(moved, padded, strict=True):
        places = [
            (i, j)
            for i in range(5)
            for j in range(5)
            if np.array_equal(clip, wide[:, i : i + 16, j : j + 16])
        ]
        assert len(places) == 1
        found.update(places)
    assert len(found) > 15


def test_two_at_once_decode_once(stores, tmp_path, decoded):
    barrier = Barrier(2)

    def open_bank(_):
        barrier.wait()
        return FrameBank(stores, tmp_path)

    # The lock belongs to an open file: two threads wait for each other as two processes do.
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(open_bank, range(2))
    assert np.array_equal(one.frames, two.frames)
    assert len(decoded) == 12
    FrameBank(stores, tmp_path)
    assert len(decoded) == 12


@pytest.mark.parametrize("lost", ["u8", "json"])
def test_what_is_not_whole_is_decoded_again(stores, tmp_path, decoded, lost, bank):
    FrameBank(stores, tmp_path)
    next(tmp_path.glob(f"*.{lost}")).unlink()
    assert np.array_equal(FrameBank(stores, tmp_path).frames, bank.frames)
    assert len(decoded) == 24


def test_a_killed_decoding_is_done_again(stores, tmp_path, monkeypatch, bank):
    def killed(self, out):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FrameBank, "_decode", killed)
        with pytest.raises(KeyboardInterrupt):
            FrameBank(stores, tmp_path)
    assert np.array_equal(FrameBank(stores, tmp_path).frames, bank.frames)


def test_a_full_disk_is_one_sentence(stores, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "posix_fallocate", full)
    with pytest.raises(ForesightError, match="disk is full"):
        FrameBank(stores, tmp_path)


def test_unfit_datasets_are_refused(stores, tmp_path):
    with pytest.raises(ForesightError, match="No dataset"):
        FrameBank([], tmp_path)
    blind = make_dataset(tmp_path / "blind", numbered, [3], frames=False)
    with pytest.raises(ForesightError, match="blind has no frames"):
        FrameBank([blind], tmp_path)
    large = make_dataset(tmp_path / "large", lambda i, n: squares(i, n, 32), [3])
    with pytest.raises(ForesightError, match=r"different sizes.*16x16.*32x32.*--size"):
        FrameBank([stores[0], large], tmp_path)
    with pytest.raises(ForesightError, match=r"no camera 'wrist': choose one of front"):
        FrameBank([stores[0]], tmp_path, camera="wrist")


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_frames_of_any_size_become_squares(stores, tmp_path, fit, monkeypatch):
    wide = lambda i, n: (squares(i, n, 40)[0][:, :30], np.zeros((n, 1)))  # noqa: E731
    other = make_dataset(tmp_path / "wide", wide, [7, 1, 5])
    whole = FrameBank([stores[1], other], tmp_path, size=24, fit=fit)
    assert whole.frames.shape == (32 + 13, 24, 24, 3) and whole.size == (24, 24)
    prepare = PicturePreparation(24, fit)
    assert np.array_equal(whole.frames[:30], prepare(stores[1].frames(0)))
    assert np.array_equal(whole.frames[-5:], prepare(other.frames(2)))
    monkeypatch.setattr(encode, "READ_BYTES", 2 * 40 * 30 * 3)
    pieces = FrameBank([stores[1], other], tmp_path / "pieces", size=24, fit=fit)
    assert np.array_equal(pieces.frames, whole.frames)
    assert len({whole.fingerprint, FrameBank([other], tmp_path).fingerprint,
                FrameBank([other], tmp_path, size=24, fit="crop").fingerprint}) == 3  # fmt: skip
