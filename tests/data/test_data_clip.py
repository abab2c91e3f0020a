"""Clips from files."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.data.clip import fit_frames, read_clip
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
    with pytest.raises(ForesightError, match="cannot be read as a clip"):
        read_clip(tmp_path / "text.mp4")
    np.save(tmp_path / "floats.npy", np.zeros((3, 4, 4, 3)))
    with pytest.raises(ForesightError, match="uint8"):
        read_clip(tmp_path / "floats.npy")
    np.save(tmp_path / "objects.npy", np.array([None], dtype=object))
    with pytest.raises(ForesightError, match="cannot be read as a clip"):
        read_clip(tmp_path / "objects.npy")
    with pytest.raises(ForesightError, match="both start at 1"):
        read_clip(tmp_path / "floats.npy", every=0)
