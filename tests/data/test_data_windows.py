from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.data.windows import WindowLoader, split_episodes, window_starts


def offsets_of(lengths):
    return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))


def make(lengths, features=3, **options):
    offsets = offsets_of(lengths)
    steps = torch.arange(offsets[-1])
    arrays = {
        "step": steps,
        "episode": torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)),
        "feature": steps[:, None] * 10.0 + torch.arange(features),
    }
    options = {"window": 4, "batch": 5, "episodes": range(len(lengths)), **options}
    return WindowLoader(arrays, offsets, **options)


def naive_windows(lengths, episodes, window):
    offsets = offsets_of(lengths)
    found = []
    for episode in episodes:
        for start in range(lengths[episode] - window + 1):
            first = int(offsets[episode]) + start
            found.append(tuple(range(first, first + window)))
    return found


def read(loader):
    return [tuple(window.tolist()) for batch in loader for window in batch["step"]]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_windows_are_exactly_those_inside_episodes(data):
    lengths = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=8))
    episodes = data.draw(st.lists(st.sampled_from(range(len(lengths))), unique=True))
    window = data.draw(st.integers(1, 9))
    batch = data.draw(st.integers(1, 7))
    shuffle = data.draw(st.booleans())
    loader = make(lengths, episodes=episodes, window=window, batch=batch, shuffle=shuffle, seed=3)
    expected = naive_windows(lengths, episodes, window)
    seen = []
    for batch_of in loader:
        assert (batch_of["episode"] == batch_of["episode"][:, :1]).all()
        assert torch.equal(batch_of["feature"][..., 1], batch_of["step"] * 10.0 + 1)
        seen += [tuple(w.tolist()) for w in batch_of["step"]]
    assert len(loader) == -(-len(expected) // batch)
    assert (sorted(seen) if shuffle else seen) == (sorted(expected) if shuffle else expected)


def test_starts_equal_the_naive_loop():
    lengths = [5, 1, 9, 4]
    starts = window_starts(offsets_of(lengths), [2, 0], 4)
    assert starts.tolist() == [w[0] for w in naive_windows(lengths, [2, 0], 4)]


def test_order_depends_on_seed_and_epoch_only():
    lengths = [20, 20]
    first = make(lengths, seed=1)
    epochs = [read(first), read(first)]
    assert first.epoch == 2
    assert epochs[0] != epochs[1]
    again = make(lengths, seed=1)
    again.set_epoch(1)
    assert read(again) == epochs[1]
    assert read(make(lengths, seed=2)) != epochs[0]
    assert read(make(lengths, seed=1, batch=9)) == epochs[0]


def test_an_epoch_resumes_in_the_middle():
    whole = make([30, 30], seed=4)
    expected = read(whole) + read(whole)
    interrupted = make([30, 30], seed=4)
    seen = []
    for count, batch in enumerate(interrupted, start=1):
        seen += [tuple(w.tolist()) for w in batch["step"]]
        if count == 3:
            break
    state = interrupted.state()
    assert state == {"epoch": 0, "batch": 3}
    resumed = make([30, 30], seed=4)
    resumed.restore(state)
    assert seen + read(resumed) + read(resumed) == expected


def test_a_broken_off_epoch_starts_again():
    loader = make([30], seed=0)
    next(iter(loader))
    assert len(read(loader)) == 27


def test_two_batches_are_valid_at_once():
    loader = iter(make([40], batch=4))
    first = next(loader)["step"]
    copy = first.clone()
    second = next(loader)["step"]
    assert torch.equal(first, copy)
    assert not torch.equal(first, second)
    third = next(loader)["step"]
    assert third.data_ptr() == first.data_ptr()


def test_without_reuse_every_batch_stays():
    batches = [batch["step"] for batch in make([40], batch=4, reuse=False)]
    assert len({tuple(w.tolist()) for batch in batches for w in batch}) == 37


@pytest.mark.parametrize("features", [33, 4096, 70000, 65537])
def test_rows_of_any_size_are_copied_right(features):
    lengths = [7, 6]
    array = torch.arange(13.0)[:, None] + torch.linspace(0, 0.5, features)
    loader = WindowLoader({"x": array}, offsets_of(lengths), [0, 1], window=5, batch=2)
    count = 0
    for batch in loader:
        for window in batch["x"]:
            first = round(float(window[0, 0]))
            assert torch.equal(window, array[first : first + 5])
            count += 1
    assert count == 5


def test_reads_a_read_only_memory_map_of_several_axes(tmp_path, recwarn):
    values = np.random.default_rng(0).standard_normal((12, 2, 3)).astype(np.float32)
    values.tofile(tmp_path / "x")
    array = np.memmap(tmp_path / "x", np.float32, "r", shape=values.shape)
    loader = WindowLoader({"x": array}, [0, 12], [0], window=3, batch=100, shuffle=False)
    (batch,) = list(loader)
    assert batch["x"].shape == (10, 3, 2, 3)
    assert np.array_equal(batch["x"][4], values[4:7])
    assert loader.arrays["x"].data_ptr() == array.ctypes.data
    assert not recwarn.list


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "window of 0"),
        ({"batch": 0}, "batch of 0"),
        ({"episodes": [0, 2]}, "no episode 2"),
        ({"episodes": [-1]}, "no episode -1"),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ForesightError, match=message):
        make([5, 5], **options)


def test_refuses_arrays_of_another_dataset():
    with pytest.raises(ForesightError, match=r"'x' has \(9,\) values but the episodes have 10"):
        WindowLoader({"x": torch.zeros(9)}, [0, 10], [0], window=2, batch=2)
    with pytest.raises(ForesightError, match="ascending"):
        WindowLoader({"x": torch.zeros(9)}, [0, 12, 9], [0], window=2, batch=2)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 5))
def test_splits_share_no_episode(n, fraction, seed):
    train, validation = split_episodes(n, fraction, seed)
    assert sorted(train + validation) == list(range(n))
    assert train
    assert validation
    assert abs(len(validation) - n * fraction) <= 1
    assert (train, validation) == split_episodes(n, fraction, seed)


def test_split_refuses_too_few():
    with pytest.raises(ForesightError, match="1 episodes"):
        split_episodes(1, 0.1, 0)
    with pytest.raises(ForesightError, match=r"1\.5"):
        split_episodes(10, 1.5, 0)
