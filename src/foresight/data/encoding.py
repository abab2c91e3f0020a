"""One episode made ready for the disk: the heavy work, done where the episode was made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import plain_json
from foresight.core.observation import STATE_KEY
from foresight.data.features import ACTION, CODECS, LOSSLESS, OUTCOME, PLACES, REWARD
from foresight.data.stats import histogram
from foresight.data.video import check_frames, encode_video

RESERVED = (ACTION, STATE_KEY, *OUTCOME, *PLACES, "task")


@dataclass
class EncodedEpisode:
    """An episode whose frames are already videos.

    Attributes:
        arrays: columns under their names on disk, ``[T]`` or ``[T, ...]``.
        videos: camera to the bytes of its MP4 file.
        sizes: camera to (height, width).
        levels: camera to the ``[3, 256]`` colour histogram of its frames.
        task, fps, success, terminated, info: as in the episode.
        codec: how the frames were written.
    """

    arrays: dict[str, np.ndarray]
    videos: dict[str, bytes]
    sizes: dict[str, tuple[int, int]]
    levels: dict[str, np.ndarray]
    task: str
    fps: float
    success: bool | None
    terminated: bool
    info: Mapping[str, Any]
    codec: str

    @property
    def length(self) -> int:
        """Number of steps T."""
        return len(self.arrays[ACTION])

    @property
    def return_(self) -> float | None:
        """The sum of rewards, None where there are none."""
        rewards = self.arrays.get(REWARD)
        return None if rewards is None else float(rewards.sum(dtype=np.float64))

    def hash(self) -> str:
        """Hash of the columns."""
        return hash_arrays(self.arrays)

    def __str__(self) -> str:
        seed = f" (seed {self.info['seed']})" if "seed" in self.info else ""
        return f"The episode of {self.task or 'no task'}{seed}"


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Hash of an episode's numbers, independent of their place in a dataset and of parquet."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def encode_episode(episode: Episode, codec: str = LOSSLESS) -> EncodedEpisode:
    """Check an episode and encode its frames; a pure function for worker processes.

    Args:
        episode: of one step or more.
        codec: ``lossless`` (H.264 of RGB planes, any size), or ``av1`` or ``h264`` (yuv420p, even
            sizes), which are many times smaller and fit cameras of real robots.

    Raises:
        ForesightError: a value that is not finite, arrays of other types or lengths, or a codec
            that there is none of.
    """
    if codec not in CODECS:
        raise ForesightError(f"There is no codec {codec!r}: choose one of {', '.join(CODECS)}.")
    arrays = _arrays(episode)
    lengths = {name: len(array) for name, array in arrays.items()}
    for camera, frames in episode.images.items():
        check_frames(frames)
        lengths[f"camera {camera}"] = len(frames)
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ForesightError(
            f"The arrays of an episode of {episode.task} differ in length ({listed}): every step "
            "needs one of each."
        )
    rate = max(1, round(episode.fps))
    images = dict(episode.images)
    return EncodedEpisode(
        arrays=arrays,
        videos={camera: encode_video(frames, rate, codec) for camera, frames in images.items()},
        sizes={camera: (f.shape[1], f.shape[2]) for camera, f in images.items()},
        levels={camera: histogram(frames) for camera, frames in images.items()},
        task=episode.task,
        fps=episode.fps,
        success=episode.success,
        terminated=episode.terminated,
        info=_plain(episode.info),
        codec=codec,
    )


def encoder(codec: str = LOSSLESS) -> Callable[[Episode], EncodedEpisode]:
    """:func:`encode_episode` with a codec, as something that can be sent to a process."""
    return partial(encode_episode, codec=codec)


def _arrays(episode: Episode) -> dict[str, np.ndarray]:
    """All columns but those that follow from the episode's place."""
    arrays = {ACTION: _numbers(ACTION, episode.action, np.float32, 2)}
    if 0 in arrays[ACTION].shape:
        raise ForesightError(
            f"The action of an episode has shape {list(arrays[ACTION].shape)} but [T, A] with one "
            "step and one number at least is expected: store whole episodes."
        )
    state = _numbers("state", episode.state, np.float32, 2)
    if state.shape[1] > 0:
        arrays[STATE_KEY] = state
    if episode.reward is not None:
        arrays[REWARD] = _numbers("reward", episode.reward, np.float32, 1)
    for name, values in episode.columns.items():
        if name in RESERVED or "/" in name or not name:
            raise ForesightError(
                f"A further column cannot be called {name!r}: choose a name without / that is none "
                f"of {', '.join(RESERVED)}."
            )
        arrays[name] = _numbers(name, values, None, None, missing=not name.startswith("sim."))
    last = np.arange(len(arrays[ACTION])) == len(arrays[ACTION]) - 1
    arrays["next.done"] = last
    arrays["next.terminated"] = last & bool(episode.terminated)
    if episode.success is not None:
        arrays["next.success"] = last & bool(episode.success)
    return arrays


def _plain(info: Mapping[str, Any]) -> dict[str, Any]:
    """The info as it will come back from the disk."""
    try:
        plain: dict[str, Any] = json.loads(
            json.dumps(dict(info), default=plain_json, allow_nan=False)
        )
    except (TypeError, ValueError) as error:
        raise ForesightError(
            f"The info of an episode cannot be stored ({error}): give plain, finite values."
        ) from error
    return plain


def _numbers(
    name: str, values: Any, dtype: type | None, ndim: int | None, missing: bool = False
) -> np.ndarray:
    """One column, refused where it is no row of finite numbers; NaN passes where it may."""
    array = np.asarray(values)
    if (ndim is not None and array.ndim != ndim) or array.ndim < 1:
        raise ForesightError(
            f"The {name} of an episode has shape {list(array.shape)} but {ndim or 'one or more'} "
            "axes, time first, are expected."
        )
    if 0 in array.shape[1:] and ndim is None:
        raise ForesightError(
            f"The column {name} of an episode has shape {list(array.shape)} and so no numbers: "
            "leave it out."
        )
    if array.dtype.kind not in "fiub":
        wanted = np.dtype(dtype).name if dtype is not None else "a number"
        raise ForesightError(
            f"The {name} of an episode has dtype {array.dtype} but {wanted} is expected: convert "
            "it."
        )
    if array.dtype.kind == "f":
        wrong = np.isinf(array) if missing else ~np.isfinite(array)
        if wrong.any():
            step, *place = (int(i) for i in np.argwhere(wrong)[0])
            value = array[(step, *place)]
            where = f", number {place[0]}" if place else ""
            raise ForesightError(
                f"The {name} of an episode holds {value} at step {step}{where}: it is not finite, "
                "so find out why before storing it; nothing was written."
            )
    return np.ascontiguousarray(array, dtype)
