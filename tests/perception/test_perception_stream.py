from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.data.cache import FeatureCache
from foresight.perception import encode
from foresight.perception.encode import encode_cameras, encode_dataset
from foresight.perception.encoder import load_encoder
from foresight.perception.preprocess import PicturePreparation
from foresight.perception.readout import READOUTS, Readout
from foresight.perception.readout_spec import parse_readout
from foresight.perception.stream import FeatureStream

SHAPES = [
    READOUTS["mean"],
    READOUTS["tubelet"],
    Readout(4, "grid", 2),
    Readout(4, "last", 2, stride=2),
    READOUTS["difference"],
    Readout(6, "difference", 2, stride=2),
    Readout(4, "tokens", tubelets="last"),
]
WHOLE = [readout for readout in SHAPES if readout.pool != "difference"]


@pytest.mark.parametrize("readout", WHOLE)
def test_feature_is_that_of_the_window_that_ends_there(tiny_encoder, clip, readout):
    frames = clip(batch=1, time=11)[0]
    features = FeatureStream(tiny_encoder, readout).episode(frames, batch=3)
    assert features.dtype == np.float32
    for t in (0, 2, 10):
        steps = [t - readout.stride * back for back in reversed(range(readout.window))]
        window = np.stack([frames[max(0, step)] for step in steps])
        expected = readout.apply(tiny_encoder.encode(window[None]))[0]
        np.testing.assert_allclose(features[t], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(4, 1), (4, 3), (8, 1)])
def test_difference_is_between_pairs_encoded_alone(tiny_encoder, clip, window, stride):
    frames = clip(batch=1, time=14)[0]
    readout = Readout(window, "difference", 2, stride)
    features = FeatureStream(tiny_encoder, readout).episode(frames)

    def pair(t):
        steps = [max(0, t - stride), max(0, t)]
        return Readout(2, "grid", 2).apply(tiny_encoder.encode(frames[steps][None]))[0].numpy()

    for t in (0, 1, 5, 13):
        past = pair(t - (window - 2) * stride)
        expected = np.concatenate([pair(t), pair(t) - past])
        np.testing.assert_allclose(features[t], expected, rtol=1e-4, atol=1e-4)


def test_difference_has_one_phase(tiny_encoder, clip):
    """A scene that repeats every second frame looks the same at all its repetitions."""
    frames = clip(batch=1, time=12)[0]
    frames[::2], frames[1::2] = frames[0], frames[1]
    still = FeatureStream(tiny_encoder, READOUTS["difference"]).episode(frames)
    np.testing.assert_allclose(still[6], still[8], atol=1e-5)
    change = still[5:, still.shape[1] // 2 :]
    np.testing.assert_allclose(change, 0, atol=1e-5)


@pytest.mark.parametrize("readout", SHAPES)
def test_live_frames_give_the_episode(tiny_encoder, clip, readout):
    frames = clip(batch=1, time=11)[0]
    stream = FeatureStream(tiny_encoder, readout)
    whole = stream.episode(frames)
    for _ in range(2):
        stream.reset()
        live = []
        reused = np.empty_like(frames[0])
        for frame in frames:
            reused[:] = frame  # as renderers do
            live.append(stream.push(reused))
        assert np.array_equal(np.stack(live), whole)
    np.testing.assert_allclose(stream.episode(frames, batch=3), whole, rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("spec", ["mean", "tubelet", "difference", "tokens"])
def test_bfloat16_is_the_same_live_cached_and_in_any_company(tmp_path, tiny, spec):
    encoder, readout = load_encoder(tiny, dtype="bfloat16"), READOUTS[spec]
    stream = FeatureStream(encoder, readout)
    cache = encode_dataset(Store(), encoder, readout, tmp_path)
    for index in range(3):
        stream.reset()
        frames = Store().frames(index)
        whole = stream.episode(frames)
        live = np.stack([stream.push(frame) for frame in frames])
        assert np.array_equal(cache.episode(index), whole)
        assert np.abs(live - whole).max() <= 1e-3
    # The clip beside which another is encoded does not matter, nor its place in the batch.
    frames = Store().frames(2)
    shorter = stream.episode(frames[:5])
    assert np.array_equal(shorter, stream.episode(frames)[:5])


def test_live_frames_are_padded_until_they_give_equal_bits(tiny_encoder, clip):
    """A stand-in encoder whose last bits change with the batch size, below four clips."""

    class Moody:
        device, tubelet, grid, dim, image_size = torch.device("cpu"), 2, 4, 3, 32
        prepare = PicturePreparation(32)
        calls: list[int] = []  # noqa: RUF012

        def encode(self, clips):
            self.calls.append(len(clips))
            mood = 1.0 if len(clips) < 4 else 0.0
            return clips.float().mean(dim=(1, 2, 3))[:, None, None, None].expand(
                -1, 1, 4, 4, -1
            ) + torch.tensor(mood)

    stream = FeatureStream(Moody(), READOUTS["tubelet"])
    assert (stream.default_batch, stream.live_batch) == (128, 4)
    Moody.calls.clear()
    frames = clip(batch=1, time=140)[0]
    whole = stream.episode(frames)
    live = np.stack([stream.push(frame) for frame in frames])
    assert np.array_equal(live, whole)
    assert Moody.calls == [128] * 2 + [4] * 140


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["mean", "grid", "last", "difference", "tokens"]),
    st.sampled_from([4, 6]),
    st.integers(1, 3),
    st.integers(1, 11),
)
def test_the_future_does_not_leak(tiny_encoder, pool, window, stride, cut):
    frames = np.random.default_rng(cut).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
    stream = FeatureStream(tiny_encoder, Readout(window, pool, 2, stride))
    before = stream.episode(frames, batch=4)
    frames[cut:] = 255 - frames[cut:]
    after = stream.episode(frames, batch=4)
    assert np.array_equal(before[:cut], after[:cut])
    assert np.abs(before[cut] - after[cut]).max() > 1e-3  # the present is seen


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
    """Three episodes in memory, one shorter than most windows; counts what is read."""

    lengths = (5, 3, 9)
    fingerprint = "store"

    def __init__(self, fail_at=None, cameras=None):
        self.fail_at = fail_at
        self.read = []
        self.path = "store"
        self.spec = Spec(cameras={"front": (32, 32)} if cameras is None else cameras)

    def frames(self, i, camera="front", start=0, stop=None):
        if i == self.fail_at:
            raise RuntimeError("power cut")
        self.read.append(i)
        shape = (self.lengths[i], *self.spec.cameras[camera], 3)
        seed = [i, list(self.spec.cameras).index(camera)]
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)[start:stop]


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
    some = Store()
    partial = encode_dataset(some, tiny_encoder, readout, tmp_path / "some", episodes=[2, 0])
    assert some.read == [2, 0] and partial.done.tolist() == [True, False, True]


def test_features_of_two_encoders_or_readouts_are_kept_apart(tmp_path, tiny, tiny_encoder):
    other = load_encoder(tiny, dtype="bfloat16")
    tubelet, source = READOUTS["tubelet"], READOUTS["mean"]
    caches = [
        encode_dataset(Store(), encoder, readout, tmp_path)
        for encoder, readout in ((tiny_encoder, tubelet), (other, tubelet), (tiny_encoder, source))
    ]
    assert len({cache.path for cache in caches}) == 3
    with pytest.raises(ForesightError, match="another encoder"):
        FeatureCache.open(caches[0].path, encoder_fingerprint=other.fingerprint)


SIZES = {"front": (48, 64), "wrist": (20, 12)}


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("spec", ["tubelet", "difference"])
def test_cameras_of_any_size_are_the_same_live_and_cached(tmp_path, tiny, spec, fit):
    encoder, readout = load_encoder(tiny, dtype="float32", fit=fit), READOUTS[spec]
    store = Store(cameras=SIZES)
    caches = encode_cameras(store, encoder, readout, tmp_path)
    assert list(caches) == list(SIZES)
    stream = FeatureStream(encoder, readout)
    for camera, cache in caches.items():
        assert (cache.manifest.camera, cache.complete) == (camera, True)
        for index in range(3):
            frames = store.frames(index, camera)
            stream.reset()
            live = np.stack([stream.push(frame) for frame in frames])
            assert np.array_equal(cache.episode(index), live)
            small = np.concatenate([encoder.prepare(frame[None]) for frame in frames])
            assert np.array_equal(stream.episode(small), live)
    assert not np.array_equal(caches["front"].episode(0), caches["wrist"].episode(0))


def test_each_camera_and_rule_has_a_cache_of_its_own(tmp_path, tiny):
    store, readout = Store(cameras=SIZES | {"fits": (32, 32)}), READOUTS["tubelet"]
    paths = set()
    for fit in ("squash", "crop", "pad"):
        encoder = load_encoder(tiny, dtype="float32", fit=fit)
        found = encode_cameras(store, encoder, readout, tmp_path)
        paths |= {cache.path for cache in found.values()}
        assert encode_dataset(store, encoder, readout, tmp_path).path == found["front"].path
        store.read.clear()
        encode_cameras(store, encoder, readout, tmp_path, ["wrist", "fits"])
        assert store.read == []
    assert len(paths) == 9
    with pytest.raises(ForesightError, match="no camera 'top': choose one of front, wrist, fits"):
        encode_cameras(store, encoder, readout, tmp_path, ["wrist", "top"])
    with pytest.raises(ForesightError, match="has no frames"):
        encode_dataset(Store(cameras={}), encoder, readout, tmp_path)


@pytest.mark.parametrize("spec", ["tubelet", "mean", "difference", "last:grid=2,stride=2"])
def test_long_episodes_are_read_in_pieces_and_stay_the_same(tmp_path, tiny, spec, monkeypatch):
    encoder, readout = load_encoder(tiny, dtype="float32"), parse_readout(spec)
    whole = encode_dataset(Store(), encoder, readout, tmp_path / "whole")
    monkeypatch.setattr(encode, "READ_BYTES", 2 * 32 * 32 * 3)  # two frames
    store = Store()
    pieces = encode_dataset(store, encoder, readout, tmp_path / "pieces")
    assert len(store.read) == 3 + 2 + 5
    assert np.array_equal(pieces.array, whole.array)


def test_encoding_resumes_by_camera_and_episode_also_in_the_middle_of_one(
    tmp_path, tiny_encoder, monkeypatch
):
    readout = READOUTS["tubelet"]
    whole = encode_cameras(Store(cameras=SIZES), tiny_encoder, readout, tmp_path / "whole")
    monkeypatch.setattr(encode, "READ_BYTES", 3 * 20 * 12 * 3)  # three frames of the smaller camera

    class Failing(Store):
        def frames(self, i, camera="front", start=0, stop=None):
            if (i, camera) == (2, "wrist") and start > 0:
                raise RuntimeError("power cut")
            return super().frames(i, camera, start, stop)

    with pytest.raises(RuntimeError, match="power cut"):
        encode_cameras(Failing(cameras=SIZES), tiny_encoder, readout, tmp_path / "cut")
    again = Store(cameras=SIZES)
    resumed = encode_cameras(again, tiny_encoder, readout, tmp_path / "cut")
    assert again.read == [2, 2, 2]  # the last episode of the second camera, in its three pieces
    for camera in SIZES:
        assert np.array_equal(resumed[camera].array, whole[camera].array)


def test_a_zoom_needs_pictures_as_large_as_it_looks(tmp_path, tiny_encoder):
    readout = parse_readout("tubelet:zoom=.5,.5")
    with pytest.raises(ForesightError, match="48x64 pixels are too small for a zoom of 2"):
        encode_dataset(Store(cameras=SIZES), tiny_encoder, readout, tmp_path)
    cache = encode_dataset(Store(cameras={"big": (70, 90)}), tiny_encoder, readout, tmp_path)
    assert cache.complete


def test_grad_of_later_models_can_use_features(tiny_encoder, clip):
    features = torch.from_numpy(
        FeatureStream(tiny_encoder, READOUTS["mean"]).episode(clip(batch=1)[0])
    )
    layer = torch.nn.Linear(features.shape[1], 1)
    layer(features).sum().backward()
    assert layer.weight.grad is not None


def test_many_streams_of_one_encoder_try_their_batch_once(tiny, monkeypatch):
    encoder, tried = load_encoder(tiny, dtype="float32"), []
    real = FeatureStream._find_live_batch
    monkeypatch.setattr(
        FeatureStream, "_find_live_batch", lambda self: tried.append(self) or real(self)
    )
    readouts = (READOUTS["tubelet"], READOUTS["tubelet"], READOUTS["mean"])
    streams = [FeatureStream(encoder, readout) for readout in readouts]
    assert streams[0].live_batch == streams[1].live_batch
    assert streams[2].live_batch >= 1
    assert tried == [streams[0], streams[2]]
