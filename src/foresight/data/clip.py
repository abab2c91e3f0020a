"""A clip from anywhere: a user's video file or saved frames, as upright RGB at an even rate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from jaxtyping import Float64, Int64, UInt8
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.data.video import check_frames, frame_times

UNEVEN = 0.25
"""Share of a frame's time by which frames of an even video may come early or late."""
MOST_BYTES = 4 * 2**30
HDR = {16: "PQ", 18: "HLG"}
"""Transfer curves of high dynamic range, by FFmpeg's number."""


@dataclass(frozen=True)
class Clip:
    """What was filmed.

    Attributes:
        frames: upright RGB, uint8 ``[T, H, W, 3]``.
        rate: frames per second.
        notes: what was converted, one sentence each.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    rate: float
    notes: tuple[str, ...] = ()


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
    if path.suffix != ".npy":
        return read_video(path, every, most).frames
    try:
        saved = np.load(path, allow_pickle=False, mmap_mode="r")[::every][:most]
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise ForesightError(
            f"{path} cannot be read as a clip ({error}): give a video file, or uint8 frames "
            "[T, H, W, 3] saved by numpy."
        ) from error
    frames = np.ascontiguousarray(saved)
    check_frames(frames)
    return frames


def read_video(path: Path | str, every: int = 1, most: int | None = None) -> Clip:
    """A user's video, turned upright and resampled to an even rate.

    Rotation that the file asks for is applied and pixels that are not square are stretched. Where
    the time between frames varies, as telephones and screen recorders do it, each time of an even
    grid shows the frame that was last seen. Grey, transparent and 10-bit pictures become 8-bit RGB.

    Args:
        path: the file.
        every: keep each ``every``-th frame; the rate is that of the frames that are kept.
        most: stop after so many kept frames.

    Raises:
        ForesightError: no video, damaged, of high dynamic range, of changing size, or too long to
            be held in memory.
    """
    path = Path(path)
    try:
        wanted, rate, notes = _wanted(path)
        wanted = wanted[::every][:most]
        frames, converted = _decode(path, wanted)
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise ForesightError(
            f"{path} cannot be read as a video ({error}): give a whole file with a picture track."
        ) from error
    return Clip(frames, rate / every, (*notes, *converted))


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


def even_frames(times: Float64[np.ndarray, " F"], rate: float) -> Int64[np.ndarray, " T"]:
    """For each time of an even grid the number of the frame that was last shown.

    Args:
        times: of the frames, in seconds, ascending.
        rate: of the grid, in frames per second.
    """
    count = int(np.floor((times[-1] - times[0]) * rate + 0.5)) + 1
    grid = times[0] + np.arange(count) / rate
    shown = np.searchsorted(times, grid + 0.5 / rate * UNEVEN, side="right") - 1
    return np.asarray(np.clip(shown, 0, len(times) - 1), np.int64)


def _wanted(path: Path) -> tuple[np.ndarray, float, list[str]]:
    """Numbers of the frames to show one after another, their rate, and notes."""
    with av.open(str(path), "r") as container:
        if not container.streams.video:
            raise ValueError("it has no picture track")
        stream = container.streams.video[0]
        unit, told = float(stream.time_base or 0), float(stream.average_rate or 0)
    stamps = frame_times(path)
    if not len(stamps):
        raise ValueError("it holds no frames")
    times = stamps * unit
    steps = np.diff(times)
    if len(stamps) < 2 or unit <= 0 or (steps <= 0).any():
        return np.arange(len(stamps)), told if told > 0 else 25.0, []
    step = float(np.median(steps))
    if np.abs(steps - step).max() <= UNEVEN * step:
        # The rate that the file tells, if its frames keep it: it is free of rounding.
        even = told if told > 0 and abs(told * step - 1) < 0.02 else 1 / step
        return np.arange(len(stamps)), even, []
    rate = round(1 / step, 3)
    note = f"The rate of {path.name} varies: resampled to {rate:g} frames a second."
    return even_frames(times, rate), rate, [note]


def _decode(path: Path, wanted: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """The frames of these numbers (ascending, with repetitions), and what was converted."""
    frames: np.ndarray | None = None
    notes: dict[str, None] = {}
    filled = 0
    with av.open(str(path), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stretch = float(stream.sample_aspect_ratio or 1) or 1.0
        for number, picture in enumerate(container.decode(stream)):
            if filled == len(wanted):
                break
            if wanted[filled] != number:
                continue
            upright = _upright(picture, stretch, path, notes)
            if frames is None:
                _expect_room(path, len(wanted), upright)
                frames = np.empty((len(wanted), *upright.shape), np.uint8)
            if upright.shape != frames.shape[1:]:
                raise ForesightError(
                    f"{path} changes its picture from {frames.shape[1]}x{frames.shape[2]} to "
                    f"{upright.shape[0]}x{upright.shape[1]} pixels: cut it there."
                )
            while filled < len(wanted) and wanted[filled] == number:
                frames[filled] = upright
                filled += 1
    if frames is None or filled < len(wanted):
        raise ValueError(f"it breaks off after {filled} of {len(wanted)} frames")
    return frames, list(notes)


def _upright(
    picture: av.VideoFrame, stretch: float, path: Path, notes: dict[str, None]
) -> np.ndarray:
    curve = HDR.get(int(picture.color_trc))
    if curve is not None:
        raise ForesightError(
            f"{path} is of high dynamic range ({curve}), whose colours would come out wrong: save "
            "it as SDR first, for instance with the setting 'most compatible' of the camera."
        )
    name = picture.format.name
    deep = max((part.bits for part in picture.format.components), default=8)
    if deep > 8:
        notes[f"{path.name} has {deep} bits a colour ({name}): reduced to 8."] = None
    if any(part.is_alpha for part in picture.format.components):
        notes[f"{path.name} has transparency ({name}): left out."] = None
    width = picture.width
    if abs(stretch - 1) > 0.01:
        width = max(1, round(width * stretch))
        notes[f"{path.name} has pixels {stretch:g} times as wide as high: stretched."] = None
    rgb = picture.reformat(width, picture.height, "rgb24").to_ndarray()
    quarters, rest = divmod(float(picture.rotation or 0), 90.0)
    if rest:
        raise ForesightError(
            f"{path} asks for a rotation by {picture.rotation:g} degrees: turn it by a multiple of "
            "90."
        )
    if quarters % 4:
        notes[f"{path.name} was turned by {picture.rotation:g} degrees."] = None
        rgb = np.rot90(rgb, int(quarters))
    return rgb


def _expect_room(path: Path, count: int, frame: np.ndarray) -> None:
    needed = count * frame.nbytes
    if needed > MOST_BYTES:
        raise ForesightError(
            f"{path} has {count} frames of {frame.shape[0]}x{frame.shape[1]} pixels, "
            f"{needed / 2**30:.1f} GiB in memory: cut it to a shorter part or scale it down."
        )
