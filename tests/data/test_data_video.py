from __future__ import annotations

import io

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from foresight.data.video import decode_video, encode_video


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    length=st.integers(1, 25),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    top=st.sampled_from([2, 17, 256]),
)
def test_random_frames_come_back_bit_for_bit(seed, length, height, width, top):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, top, (length, height, width, 3), np.uint8)
    video = encode_video(frames, 50)
    assert np.array_equal(decode_video(video, length, height, width), frames)


def test_every_colour_survives():
    grid = np.stack(np.meshgrid(*[np.arange(0, 256, 5, np.uint8)] * 3), axis=-1)
    frames = grid.reshape(52, 52, 52, 3)
    assert np.array_equal(decode_video(encode_video(frames, 30), 52, 52, 52), frames)


def test_equal_frames_give_equal_bytes_also_from_a_view():
    frames = np.random.default_rng(0).integers(0, 256, (5, 16, 18, 3), np.uint8)
    upside_down = np.ascontiguousarray(frames[:, ::-1])
    assert encode_video(upside_down[:, ::-1], 50) == encode_video(frames, 50)


def test_other_readers_see_the_frames_at_their_times():
    frames = np.random.default_rng(1).integers(0, 256, (12, 16, 16, 3), np.uint8)
    with av.open(io.BytesIO(encode_video(frames, 40))) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 40
        pictures = list(container.decode(stream))
    assert [round(p.time * 40, 6) for p in pictures] == list(range(12))
    assert np.array_equal(np.stack([p.to_ndarray(format="rgb24") for p in pictures]), frames)


@pytest.mark.wrong_arrays
@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(frames):
    with pytest.raises(ForesightError, match="uint8"):
        encode_video(frames, 50)


def test_damaged_videos_are_refused(tmp_path):
    video = encode_video(np.zeros((10, 16, 16, 3), np.uint8), 50)
    for damaged in (video[: len(video) // 2], video[:10], b""):
        with pytest.raises(ForesightError, match="decoded"):
            decode_video(damaged, 10, 16, 16)
    with pytest.raises(ForesightError, match="10 frames but 11"):
        decode_video(video, 11, 16, 16)
    with pytest.raises(ForesightError, match="16x16"):
        decode_video(video, 10, 16, 17)
    with pytest.raises(ForesightError, match="does not exist"):
        decode_video(tmp_path / "none.mp4", 10, 16, 16)
