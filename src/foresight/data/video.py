"""Video files in and out: ours bit for bit, anybody's by frame number."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream
from jaxtyping import Int64, UInt8

from foresight.core.errors import ForesightError
from foresight.data.features import LOSSLESS

os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder prints its settings otherwise

MARK = "foresight"
"""Comment inside every video of ours, by which a leftover is known from another program's file."""

# qp 0 on libx264rgb is mathematically lossless and keeps RGB as planes (no YUV rounding).
# One thread keeps the bytes independent of the machine's core count; a key frame every 10 frames
# lets readers that want single frames seek cheaply, for about 1 % more bytes. The lossy ones have
# the settings of LeRobot's own recorder: every other frame a key frame, quality 30 of 63 (AV1).
ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {
    LOSSLESS: ("libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast", "g": "10"}),
    "h264": ("libx264", "yuv420p", {"crf": "23", "preset": "medium", "g": "2"}),
    "av1": ("libsvtav1", "yuv420p", {"crf": "30", "preset": "8", "g": "2"}),
}
_PLANES = (1, 2, 0)  # H.264 stores RGB as the planes G, B, R


def check_frames(frames: np.ndarray) -> None:
    """Refuse anything but uint8 ``[T, H, W, 3]`` with at least one frame.

    Raises:
        ForesightError: wrong type or shape.
    """
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or 0 in frames.shape:
        raise ForesightError(
            f"Frames have dtype {frames.dtype} and shape {list(frames.shape)} but uint8 "
            "[T, H, W, 3] with at least one frame is expected: convert them first."
        )


def encode_video(frames: UInt8[np.ndarray, "T H W 3"], fps: int, codec: str = LOSSLESS) -> bytes:
    """Encode frames as an MP4 file in memory.

    A pure function: equal frames give equal bytes, in any process.

    Args:
        frames: uint8 RGB ``[T, H, W, 3]``; any size for ``lossless``, even ones otherwise.
        fps: frames per second; frame i is shown at i / fps seconds.
        codec: ``lossless``, ``h264`` or ``av1``.

    Raises:
        ForesightError: frames of another type or shape, or of an odd size in yuv420p.
    """
    check_frames(frames)
    name, pixels, options = ENCODERS[codec]
    height, width = frames.shape[1:3]
    if pixels == "yuv420p" and (height % 2 or width % 2):
        raise ForesightError(
            f"Frames of {height}x{width} pixels cannot be written as {codec}, which halves the "
            "colours' size: use an even size or codec lossless."
        )
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        container.metadata["comment"] = MARK
        stream = cast(VideoStream, container.add_stream(name, rate=fps, options=options))
        stream.height, stream.width = height, width
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return buffer.getvalue()


def is_ours(path: Path) -> bool:
    """Whether a whole video carries the mark of :func:`encode_video`."""
    try:
        with av.open(str(path), "r") as container:
            return container.metadata.get("comment") == MARK
    except (av.error.FFmpegError, OSError, ValueError):
        return False


def frame_times(source: bytes | Path) -> Int64[np.ndarray, " F"]:
    """The times of all frames in units of the stream, in the order in which they are shown.

    The k-th of them is frame k: counting needs no arithmetic with seconds, whose errors add up
    where many recordings were joined into one file.

    Raises:
        ForesightError: the video is missing or cannot be read.
    """
    times: list[int] = []
    with _opened(source) as container:
        try:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and not packet.is_discard:
                    stamp = packet.pts if packet.pts is not None else packet.dts
                    times.append(len(times) if stamp is None else stamp)
        except (av.error.FFmpegError, ValueError) as error:
            raise _damaged(source, error) from error
    return np.sort(np.asarray(times, np.int64))


def decode_video(
    source: bytes | Path,
    length: int,
    height: int,
    width: int,
    first: int = 0,
    times: Int64[np.ndarray, " F"] | None = None,
) -> UInt8[np.ndarray, "T H W 3"]:
    """Decode ``length`` frames of a video from frame number ``first`` on.

    Args:
        source: the file's bytes or its path.
        length: number of frames T.
        height: expected H in pixels.
        width: expected W in pixels.
        first: number of the first of them, from 0.
        times: of :func:`frame_times`; needed to begin in the middle, found where it is not given.

    Returns:
        uint8 RGB ``[T, H, W, 3]``.

    Raises:
        ForesightError: the video is missing, damaged, too short or of another size.
    """
    if first > 0 and times is None:
        times = frame_times(source)
    if times is not None and first + length > len(times):
        raise _too_short(source, len(times), first + length)
    frames = np.empty((length, height, width, 3), np.uint8)
    count = 0
    with _opened(source) as container:
        try:
            stream = container.streams.video[0]
            _expect_size(stream, height, width, source)
            # Frame threads pay only on large pictures; on small ones they cost.
            stream.thread_type = "AUTO"
            begin = None if times is None or first == 0 else int(times[first])
            if begin is not None:
                container.seek(begin, stream=stream, backward=True)
            for picture in container.decode(stream):
                if begin is not None and (picture.pts is None or picture.pts < begin):
                    continue
                if count == 0 and begin is not None and picture.pts != begin:
                    raise ValueError(f"frame {first} is not where the index says")
                if count == length:
                    break
                _copy(picture, frames[count])
                count += 1
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            raise _damaged(source, error) from error
    if count != length:
        raise _too_short(source, first + count, first + length)
    return frames


def _opened(source: bytes | Path) -> InputContainer:
    try:
        container = av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), "r")
    except FileNotFoundError as error:
        raise ForesightError(
            f"{_name(source)} does not exist: copy it again, or take its episodes out with "
            "`foresight data repair`."
        ) from error
    except (av.error.FFmpegError, ValueError) as error:
        raise _damaged(source, error) from error
    if not container.streams.video:
        container.close()
        raise ForesightError(f"{_name(source)} holds no video: copy the right file there.")
    return container


def _name(source: bytes | Path) -> str:
    return "The video" if isinstance(source, bytes) else str(source)


def _damaged(source: bytes | Path, error: Exception) -> ForesightError:
    return ForesightError(
        f"{_name(source)} cannot be decoded ({error}), it is damaged or cut short: copy it again, "
        "or take its episodes out with `foresight data repair`."
    )


def _too_short(source: bytes | Path, found: int, wanted: int) -> ForesightError:
    return ForesightError(
        f"{_name(source)} holds {found} frames but {wanted} are expected: copy it again, or take "
        "the episode out with `foresight data repair`."
    )


def _expect_size(stream: VideoStream, height: int, width: int, source: bytes | Path) -> None:
    context = stream.codec_context
    if (context.height, context.width) != (height, width):
        raise ForesightError(
            f"{_name(source)} holds {context.height}x{context.width} pictures but {height}x{width} "
            "is expected: it belongs to another dataset."
        )


def _copy(picture: av.VideoFrame, out: np.ndarray) -> None:
    """A picture as RGB; lossless planes are copied as they lie, twice as fast as a conversion."""
    if picture.format.name != "gbrp":
        out[...] = picture.to_ndarray(format="rgb24")
        return
    height, width = out.shape[:2]
    for plane, channel in zip(picture.planes, _PLANES, strict=True):
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        out[..., channel] = rows[:height, :width]
