from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight.data.cache import FeatureCache
from foresight.errors import ForesightError
from foresight.perception.encode import encode_dataset
from foresight.perception.encoder import load_encoder
from foresight.perception.readout import READOUTS, Readout
from foresight.perception.stream import FeatureStream

SHAPES = [READOUTS["source"], READOUTS["tubelet"], Readout(4, "grid", 2)]


@pytest.mark.parametrize("readout", SHAPES)
def test_feature_is_that_of_the_window_that_ends_there(tiny_encoder, clip, readout):
    frames = clip(batch=1, time=11)[0]
    features = FeatureStream(tiny_encoder, readout).episode(frames, batch=3)
    assert features.dtype == np.float32
    for t in (0, 2, 10):
        window = [frames[max(0, t - back)] for back in reversed(range(readout.window))]
        expected = readout.apply(tiny_encoder.encode(np.stack(window)[None]))[0]
        np.testing.assert_allclose(features[t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("readout", SHAPES)
def test_live_frames_give_the_episode(tiny_encoder, clip, readout):
    frames = clip(batch=1, time=11)[0]
    stream = FeatureStream(tiny_encoder, readout)
    whole = stream.episode(frames, batch=1)
    for _ in range(2):
        stream.reset()
        live = []
        reused = np.empty_like(frames[0])
        for frame in frames:
            reused[:] = frame  # as renderers do
            live.append(stream.push(reused))
        assert np.array_equal(np.stack(live), whole)
    np.testing.assert_allclose(stream.episode(frames), whole, rtol=1e-4, atol=1e-5)


def test_threads_change_nothing(tiny_encoder, clip):
    frames = clip(batch=1, time=23)[0]
    stream = FeatureStream(tiny_encoder, READOUTS["tubelet"])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        threaded = stream.episode(frames, batch=4)
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        assert np.array_equal(stream.episode(frames, batch=4), threaded)
        torch.set_num_threads(3)
        with pytest.raises(ForesightError, match="uint8"):
            stream.episode(frames.astype(np.int16), batch=4)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_live_frames_in_bfloat16(tiny, clip):
    frames = clip(batch=1, time=6)[0]
    stream = FeatureStream(load_encoder(tiny, dtype="bfloat16"), READOUTS["tubelet"])
    live = np.stack([stream.push(frame) for frame in frames])
    whole = stream.episode(frames)
    assert np.abs(live - whole).mean() < 1e-3 * np.abs(whole).mean() + 1e-3


@pytest.mark.parametrize("readout", SHAPES)
def test_the_future_does_not_leak(tiny_encoder, clip, readout):
    frames = clip(batch=1, time=12)[0]
    stream = FeatureStream(tiny_encoder, readout)
    before = stream.episode(frames, batch=4)
    frames[7:] = 255 - frames[7:]
    after = stream.episode(frames, batch=4)
    assert np.array_equal(before[:7], after[:7])
    assert (np.abs(before[7:] - after[7:]).max(axis=1) > 1e-3).all()


def test_refusals(tiny_encoder, clip):
    stream = FeatureStream(tiny_encoder, READOUTS["tubelet"])
    frames = clip(batch=1)[0]
    with pytest.raises(ForesightError, match="at least one frame"):
        stream.episode(frames[:0])
    with pytest.raises(ForesightError, match="uint8"):
        stream.episode(frames.astype(np.float32))
    stream.push(frames[0])
    with pytest.raises(ForesightError, match=r"call reset\(\)"):
        stream.push(frames[1][:16])
    stream.push(frames[1])  # a refused frame leaves no trace


class Store:
    """Three episodes in memory; counts what is read."""

    lengths = (5, 3, 9)
    fingerprint = "store"

    def __init__(self, fail_at=None):
        self.fail_at = fail_at
        self.read = []

    def frames(self, i):
        if i == self.fail_at:
            raise RuntimeError("power cut")
        self.read.append(i)
        shape = (self.lengths[i], 32, 32, 3)
        return np.random.default_rng(i).integers(0, 256, shape, dtype=np.uint8)


def test_encoding_resumes_by_episode(tmp_path, tiny_encoder):
    readout = READOUTS["tubelet"]
    whole = encode_dataset(Store(), tiny_encoder, readout, tmp_path / "whole")
    assert whole.complete
    stream = FeatureStream(tiny_encoder, readout)
    assert np.array_equal(whole.episode(1), stream.episode(Store().frames(1)))

    with pytest.raises(RuntimeError, match="power cut"):
        encode_dataset(Store(fail_at=1), tiny_encoder, readout, tmp_path / "cut")
    second = Store()
    resumed = encode_dataset(second, tiny_encoder, readout, tmp_path / "cut")
    assert second.read == [1, 2]
    assert np.array_equal(resumed.array, whole.array)
    third = Store()
    encode_dataset(third, tiny_encoder, readout, tmp_path / "cut")
    assert third.read == []


def test_features_of_two_encoders_or_readouts_are_kept_apart(tmp_path, tiny, tiny_encoder):
    other = load_encoder(tiny, dtype="bfloat16")
    tubelet, source = READOUTS["tubelet"], READOUTS["source"]
    caches = [
        encode_dataset(Store(), encoder, readout, tmp_path)
        for encoder, readout in ((tiny_encoder, tubelet), (other, tubelet), (tiny_encoder, source))
    ]
    assert len({cache.path for cache in caches}) == 3
    with pytest.raises(ForesightError, match="another encoder"):
        FeatureCache.open(caches[0].path, encoder_fingerprint=other.fingerprint)


def test_grad_of_later_models_can_use_features(tiny_encoder, clip):
    features = torch.from_numpy(
        FeatureStream(tiny_encoder, READOUTS["source"]).episode(clip(batch=1)[0])
    )
    layer = torch.nn.Linear(features.shape[1], 1)
    layer(features).sum().backward()
    assert layer.weight.grad is not None
