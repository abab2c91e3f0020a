"""Videos: decodable, of the right size, length and colours."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.report.run_page import film_gif, save_films
from foresight.report.videos import encode_gif, encode_mp4, side_by_side, upscale


def clip(length: int, height: int, width: int) -> np.ndarray:
    frames = np.zeros((length, height, width, 3), np.uint8)
    frames[..., 0] = np.linspace(0, 220, length).astype(np.uint8)[:, None, None]
    frames[:, : height // 2, :, 2] = 180
    return frames


def test_encoded_video_is_h264_and_looks_the_same() -> None:
    frames = clip(12, 64, 96)
    data = encode_mp4(frames, fps=25)
    with av.open(io.BytesIO(data)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert stream.average_rate == 25
        back = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
    assert back.shape == frames.shape
    assert np.abs(back.astype(int) - frames.astype(int)).mean() < 4


def test_odd_sizes_and_fractional_rates() -> None:
    with av.open(io.BytesIO(encode_mp4(clip(3, 33, 17), fps=33.3))) as container:
        assert (container.streams.video[0].height, container.streams.video[0].width) == (34, 18)


def test_upscale_keeps_pixels() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (2, 5, 7, 3), dtype=np.uint8)
    large = upscale(frames, 20)
    assert large.shape == (2, 15, 21, 3)
    np.testing.assert_array_equal(large[:, 1::3, 1::3], frames)
    assert upscale(frames, 3).shape == frames.shape


def test_side_by_side() -> None:
    left, right = clip(6, 40, 30), clip(4, 20, 20)
    both = side_by_side([left, right], gap=4)
    assert both.shape == (6, 40, 30 + 4 + 40, 3)
    np.testing.assert_array_equal(both[:, :, :30], left)
    np.testing.assert_array_equal(both[:4, ::2, 34::2], right)
    np.testing.assert_array_equal(both[5, :, 34:], both[3, :, 34:])  # the last frame is held


def test_mistakes_are_named() -> None:
    for bad in (
        np.zeros((2, 4, 4, 3)),
        np.zeros((4, 4, 3), np.uint8),
        np.zeros((0, 4, 4, 3), "u1"),
    ):
        with pytest.raises(ForesightError, match="uint8"):
            encode_mp4(bad)
    with pytest.raises(ForesightError, match="rate"):
        encode_mp4(clip(2, 4, 4), fps=0)
    with pytest.raises(ForesightError, match="at least one"):
        side_by_side([])


def test_a_gif_repeats_and_shows_the_same() -> None:
    frames = clip(6, 20, 30)
    with Image.open(io.BytesIO(encode_gif(frames, fps=20))) as film:
        assert (film.n_frames, film.size, film.info["duration"], film.info["loop"]) == (
            6,
            (30, 20),
            50,
            0,
        )
        film.seek(5)
        shown = np.asarray(film.convert("RGB")).astype(int)
    assert np.abs(shown - frames[5]).mean() < 8
    with pytest.raises(ForesightError, match="positive rate"):
        encode_gif(frames, fps=0)


def test_the_last_film_of_a_run_as_a_gif(tmp_path) -> None:
    with pytest.raises(ForesightError, match="holds no films"):
        film_gif(tmp_path, tmp_path / "film.gif")
    save_films(tmp_path, {"a": clip(30, 32, 32), "b": clip(20, 48, 32)})
    with Image.open(film_gif(tmp_path, tmp_path / "film.gif")) as film:
        assert (film.size, film.n_frames) == ((32, 48), 4)
