"""Frames to MP4 that every browser plays: H.264 in yuv420p."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from foresight.core.errors import ForesightError

GAP = 8


def encode_mp4(frames: np.ndarray, fps: float = 50, quality: int = 20) -> bytes:
    """Encode frames as an MP4 file in memory.

    Args:
        frames: uint8 RGB ``[T, H, W, 3]``; an odd height or width gets its last line twice,
            because yuv420p needs even ones.
        fps: frames per second.
        quality: x264's constant rate factor, 0 lossless … 51 worst.

    Raises:
        ForesightError: wrong shape or dtype, no frames, or a rate that is not positive.
    """
    frames = _checked(frames)
    if not fps > 0:
        raise ForesightError(f"A video of {fps} frames per second: expected a positive rate.")
    height, width = frames.shape[1:3]
    frames = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(quality), "preset": "medium"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def encode_gif(frames: np.ndarray, fps: float = 10) -> bytes:
    """Encode frames as a GIF that repeats, for pages that play no video.

    Args:
        frames: uint8 RGB ``[T, H, W, 3]``.
        fps: frames per second; a GIF counts in hundredths of a second.

    Raises:
        ForesightError: wrong shape or dtype, no frames, or a rate that is not positive.
    """
    if not fps > 0:
        raise ForesightError(f"A film of {fps} frames per second: expected a positive rate.")
    pictures = [Image.fromarray(frame) for frame in _checked(frames)]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer, "GIF", save_all=True, append_images=pictures[1:], duration=1000 / fps, loop=0
    )
    return buffer.getvalue()


def upscale(frames: np.ndarray, size: int) -> np.ndarray:
    """Enlarge uint8 frames ``[T, H, W, 3]`` by a whole factor to at least ``size`` wide.

    Nearest neighbour, so that the pixels an agent saw stay visible. Larger frames are kept.
    """
    frames = _checked(frames)
    factor = max(1, -(-size // frames.shape[2]))
    return frames.repeat(factor, axis=1).repeat(factor, axis=2)


def side_by_side(clips: Sequence[np.ndarray], gap: int = GAP) -> np.ndarray:
    """Put clips beside each other, left to right.

    Shorter clips hold their last frame; smaller ones are enlarged to the tallest by nearest
    neighbour.

    Args:
        clips: each uint8 ``[T, H, W, 3]``.
        gap: grey pixels between them.

    Returns:
        uint8 ``[max T, max H, sum W + gaps, 3]``.
    """
    if not clips:
        raise ForesightError("No clips to put side by side: pass at least one.")
    clips = [_checked(clip) for clip in clips]
    length, height = max(len(c) for c in clips), max(c.shape[1] for c in clips)
    parts: list[np.ndarray] = []
    for clip in clips:
        shown = clip[np.minimum(np.arange(length), len(clip) - 1)]
        rows = np.arange(height) * clip.shape[1] // height
        width = round(clip.shape[2] * height / clip.shape[1])
        columns = np.arange(width) * clip.shape[2] // width
        if parts:
            parts.append(np.full((length, height, gap, 3), 127, np.uint8))
        parts.append(shown[:, rows][:, :, columns])
    return np.concatenate(parts, axis=2)


def _checked(frames: np.ndarray) -> np.ndarray:
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ForesightError(
            f"Frames of shape {frames.shape} and type {frames.dtype}: expected uint8 [T, H, W, 3] "
            "with at least one frame."
        )
    return frames
