"""Frames of an episode, wherever they lie: in videos or inside parquet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.spec import Spec
from foresight.data.columns import read_tables
from foresight.data.episodes import EpisodeMeta
from foresight.data.images import decode_images
from foresight.data.video import decode_video, frame_times


def choose_camera(spec: Spec, camera: str | None, path: Path) -> str:
    """The camera that is meant, which may be left out where there is one.

    Raises:
        ForesightError: there is none of that name, or several and no name.
    """
    cameras = list(spec.cameras)
    if camera is None and len(cameras) == 1:
        return cameras[0]
    if camera not in cameras:
        raise ForesightError(
            f"{path} has the cameras {', '.join(cameras)}: choose one of them."
            if cameras
            else f"{path} has no frames: choose a dataset with a camera."
        )
    return str(camera)


def image_frames(
    root: Path, meta: EpisodeMeta, key: str, size: tuple[int, int], start: int, stop: int
) -> UInt8[np.ndarray, "T H W 3"]:
    """Frames ``start`` to ``stop`` of a camera whose pictures are a column.

    Raises:
        ForesightError: a file or picture is missing or damaged.
    """
    _, table = next(read_tables(root, [meta], [key]))
    cells = table[key].slice(start, stop - start).to_pylist()
    return decode_images(cells, *size, root, f"camera {key}, episode {meta.index} of {root}")


def video_frames(
    root: Path,
    meta: EpisodeMeta,
    key: str,
    size: tuple[int, int],
    start: int,
    stop: int,
    times: dict[str, np.ndarray],
) -> UInt8[np.ndarray, "T H W 3"]:
    """Frames ``start`` to ``stop`` of a camera whose frames are in a video.

    Args:
        root: the dataset's folder.
        meta: the episode.
        key: of the camera on disk.
        size: height and width.
        start: first step.
        stop: step before which to end.
        times: of the frames of videos that were read before; more are added.

    Raises:
        ForesightError: the video is missing, damaged or too short.
    """
    if key not in meta.videos:
        raise ForesightError(
            f"{root} names no video that holds {key} of episode {meta.index}: copy meta/episodes "
            "again."
        )
    video = meta.videos[key]
    path = root / video.path
    if video.hash is not None:
        return decode_video(_whole(path, video.hash), stop, *size)[start:]
    if video.path not in times:
        times[video.path] = frame_times(path)
    return decode_video(
        path, stop - start, *size, first=video.first + start, times=times[video.path]
    )


def _whole(path: Path, expected: str) -> bytes:
    """The bytes of a video of ours, compared with the hash taken when it was written."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ForesightError(
            f"{path} cannot be read ({error.strerror}): copy the file again, or drop the episode "
            "with `foresight data repair`."
        ) from error
    if fingerprint(data) != expected:
        raise ForesightError(
            f"{path} is not the video that was written ({len(data)} bytes, wrong hash), it is "
            "damaged or cut short: run `foresight data repair` to drop the episode."
        )
    return data
