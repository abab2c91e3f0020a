"""Clips from files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.data.clip import even_frames, fit_frames, read_clip, read_video
from foresight.data.video import encode_video


def frames(count=7, height=24, width=32):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def test_video_and_npy_give_the_same_frames(tmp_path):
    clip = frames()
    (tmp_path / "clip.mp4").write_bytes(encode_video(clip, 10))
    np.save(tmp_path / "clip.npy", clip)
    for name in ("clip.mp4", "clip.npy"):
        np.testing.assert_array_equal(read_clip(tmp_path / name), clip)
        np.testing.assert_array_equal(read_clip(tmp_path / name, every=3, most=2), clip[[0, 3]])


def test_fitting_takes_the_middle_square():
    clip = frames()
    np.testing.assert_array_equal(fit_frames(clip, 24), clip[:, :, 4:28])
    square = clip[:, :, 4:28]
    assert fit_frames(square, 24) is square
    assert fit_frames(clip, 16).shape == (7, 16, 16, 3)


def test_what_is_no_clip(tmp_path):
    with pytest.raises(ForesightError, match="There is no clip"):
        read_clip(tmp_path / "nothing.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ForesightError, match="cannot be read as a video"):
        read_clip(tmp_path / "text.mp4")
    np.save(tmp_path / "floats.npy", np.zeros((3, 4, 4, 3)))
    with pytest.raises(ForesightError, match="uint8"):
        read_clip(tmp_path / "floats.npy")
    np.save(tmp_path / "objects.npy", np.array([None], dtype=object))
    with pytest.raises(ForesightError, match="cannot be read as a clip"):
        read_clip(tmp_path / "objects.npy")
    with pytest.raises(ForesightError, match="both start at 1"):
        read_clip(tmp_path / "floats.npy", every=0)


GREYS = [20, 60, 100, 140, 180, 220]


def film(
    path: Path,
    pictures: list[np.ndarray],
    codec: str = "libx264rgb",
    pixels: str = "rgb24",
    given: str = "rgb24",
    ticks: list[int] | None = None,
    rotation: int = 0,
    stretch: Fraction | None = None,
    **context: int,
) -> Path:
    """A video made with PyAV: ``ticks`` are the times of its frames in hundredths of a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if rotation:
            stream.set_display_rotation(rotation)
        if stretch is not None:
            stream.codec_context.sample_aspect_ratio = stretch
        if codec == "libx264rgb":
            stream.options = {"qp": "0"}
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if ticks is not None:
            stream.codec_context.time_base = Fraction(1, 100)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format=given)
            if ticks is not None:
                frame.pts, frame.time_base = ticks[number], Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def plain(height: int = 32, width: int = 48, channels: int = 3) -> list[np.ndarray]:
    return [np.full((height, width, channels), grey, np.uint8) for grey in GREYS]


def corner() -> list[np.ndarray]:
    """A bright patch in the upper left corner of a wide picture."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:8, :12] = 255
    return [picture] * 3


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_what_the_file_asks_for_is_turned(tmp_path, rotation):
    clip = read_video(film(tmp_path / "a.mp4", corner(), rotation=rotation))
    with av.open(str(tmp_path / "a.mp4")) as container:
        degrees = next(container.decode(video=0)).rotation
    assert degrees % 360 in (rotation, 360 - rotation)
    expected = np.rot90(corner()[0], round(degrees / 90))
    assert np.array_equal(clip.frames[0], expected)
    assert any("turned" in note for note in clip.notes)


def test_a_telephone_held_upright_gives_an_upright_picture(tmp_path):
    """Its file says: turn clockwise by 90 degrees, so the upper left goes to the upper right."""
    path = film(tmp_path / "a.mp4", corner())
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    clockwise = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    content[matrix : matrix + 36] = b"".join(n.to_bytes(4, "big", signed=True) for n in clockwise)
    path.write_bytes(content)
    frame = read_video(path).frames[0]
    assert frame.shape == (48, 32, 3)
    assert frame[:12, -8:].min() == 255
    assert frame[:, :-8].max() == 0


def test_a_varying_rate_is_resampled_by_time(tmp_path):
    ticks = [0, 10, 20, 50, 60, 70]  # between frames 2 and 3 nothing new for three tenths
    clip = read_video(film(tmp_path / "a.mkv", plain(), ticks=ticks))
    assert clip.rate == 10
    shown = clip.frames[:, 0, 0, 0].tolist()
    assert shown == [20, 60, 100, 100, 100, 140, 180, 220]
    assert "varies" in clip.notes[0]
    assert len(read_clip(tmp_path / "a.mkv", every=2, most=3)) == 3


def test_an_even_rate_stays(tmp_path):
    clip = read_video(film(tmp_path / "a.mp4", plain()))
    assert (clip.rate, len(clip.frames), clip.notes) == (10, 6, ())
    assert read_video(tmp_path / "a.mp4", every=2).rate == 5


def test_even_frames_never_look_ahead():
    times = np.array([0.0, 0.1, 0.35, 0.4])
    assert even_frames(times, 10).tolist() == [0, 1, 1, 1, 3]


@pytest.mark.parametrize(
    ("codec", "pixels", "given", "suffix", "says"),
    [
        ("libx264", "yuv420p", "rgb24", "mp4", None),
        ("libx264", "gray", "rgb24", "mp4", None),
        ("libx264", "yuv420p10le", "rgb24", "mp4", "10 bits"),
        ("libx265", "yuv420p", "rgb24", "mp4", None),
        ("png", "rgba", "rgb24", "mov", "transparency"),
        ("qtrle", "argb", "rgb24", "mov", "transparency"),
    ],
)
def test_other_kinds_of_pictures_become_rgb(tmp_path, codec, pixels, given, suffix, says):
    # x265 corrupts memory below 64 pixels; a grey picture has to say that it uses all levels.
    context = {"color_range": 2} if pixels == "gray" else {}
    pictures = plain(64, 96)
    clip = read_video(film(tmp_path / f"a.{suffix}", pictures, codec, pixels, given, **context))
    assert clip.frames.shape == (6, 64, 96, 3)
    levels = clip.frames.mean((1, 2, 3))
    assert np.abs(levels - GREYS).max() < 3
    assert (says is None and not clip.notes) or says in clip.notes[0]


def test_odd_sizes_and_wide_pixels(tmp_path):
    odd = film(tmp_path / "a.mp4", plain(33, 47), "libx264", "yuv444p")
    assert read_video(odd).frames.shape == (6, 33, 47, 3)
    wide = film(tmp_path / "b.mp4", plain(), "libx264", "yuv420p", stretch=Fraction(2))
    assert read_video(wide).frames.shape == (6, 32, 96, 3)


def test_what_would_look_wrong_is_refused(tmp_path, monkeypatch):
    hdr = film(tmp_path / "a.mp4", plain(), "libx264", "yuv420p10le", color_trc=18)
    with pytest.raises(ForesightError, match=r"high dynamic range \(HLG\)"):
        read_video(hdr)
    whole = film(tmp_path / "b.mp4", plain()).read_bytes()
    (tmp_path / "c.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ForesightError, match=r"c\.mp4 cannot be"):
        read_video(tmp_path / "c.mp4")
    monkeypatch.setattr("foresight.data.clip.MOST_BYTES", 1000)
    with pytest.raises(ForesightError, match="cut it to a shorter part"):
        read_video(tmp_path / "b.mp4")
