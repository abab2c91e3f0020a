"""A clip from anywhere: a video file or saved frames, cropped and scaled to an encoder's size."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.data.video import check_frames


def read_clip(path: Path | str, every: int = 1, most: int | None = None) -> np.ndarray:
    """Frames uint8 RGB ``[T, H, W, 3]`` of a video that PyAV reads, or of a ``.npy`` file.

    Args:
        path: the file.
        every: keep each ``every``-th frame.
        most: stop after so many kept frames.

    Raises:
        ForesightError: no such file, not readable, or not frames.
    """
    path = Path(path)
    if not path.is_file():
        raise ForesightError(f"There is no clip {path}: give a video file or .npy frames.")
    if every < 1 or (most is not None and most < 1):
        raise ForesightError(
            f"Every {every}th frame and at most {most} of them cannot be read: both start at 1."
        )
    try:
        frames = _read_npy(path, every, most) if path.suffix == ".npy" else _read(path, every, most)
    except (av.error.FFmpegError, ValueError, EOFError, IndexError) as error:
        raise ForesightError(
            f"{path} cannot be read as a clip ({error}): give a video file, or uint8 frames "
            "[T, H, W, 3] saved by numpy."
        ) from error
    check_frames(frames)
    return frames


def fit_frames(frames: UInt8[np.ndarray, "t h w 3"], size: int) -> UInt8[np.ndarray, "t s s 3"]:
    """The middle square of each frame, scaled to ``size`` pixels; untouched where it fits."""
    height, width = frames.shape[1:3]
    if (height, width) == (size, size):
        return frames
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    box = (left, top, left + side, top + side)
    scaled = [
        Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC, box=box)
        for frame in frames
    ]
    return np.stack([np.asarray(picture) for picture in scaled])


def _read(path: Path, every: int, most: int | None) -> np.ndarray:
    kept: list[np.ndarray] = []
    with av.open(str(path), "r") as container:
        for index, frame in enumerate(container.decode(container.streams.video[0])):
            if index % every == 0:
                kept.append(frame.to_ndarray(format="rgb24"))
            if most is not None and len(kept) == most:
                break
    if not kept:
        raise ValueError("it holds no frames")
    return np.stack(kept)


def _read_npy(path: Path, every: int, most: int | None) -> np.ndarray:
    frames = np.load(path, allow_pickle=False, mmap_mode="r")[::every][:most]
    return np.ascontiguousarray(frames)
