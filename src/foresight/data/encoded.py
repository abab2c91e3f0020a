"""One episode made ready for the disk: the heavy work, done where the episode was made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from foresight.core.errors import ForesightError
from foresight.data.stats import histogram
from foresight.data.video import check_frames, encode_video

if TYPE_CHECKING:
    from collections.abc import Callable

    from foresight.rollout.episode import Episode, EpisodeSpec


@dataclass
class EncodedEpisode:
    """An episode whose frames are already a video.

    Attributes:
        spec: what was run.
        video: bytes of the MP4 file, None without frames.
        fps: frame rate of the video.
        image: (height, width), None without frames.
        levels: ``[3, 256]`` colour histogram of all frames, None without frames.
        arrays: ``action`` float32 [T, A], ``observation.state`` float32 [T, P], ``sim.state``
            float64 [T, S], ``next.reward`` float32 [T].
    """

    spec: EpisodeSpec
    video: bytes | None
    fps: int
    image: tuple[int, int] | None
    levels: np.ndarray | None
    arrays: dict[str, np.ndarray]

    @property
    def length(self) -> int:
        """Number of steps T."""
        return len(self.arrays["next.reward"])


def encode_episode(episode: Episode, fps: int) -> EncodedEpisode:
    """Check an episode and encode its frames; a pure function for worker processes.

    Raises:
        ForesightError: a value that is not finite, or arrays of other types or lengths.
    """
    arrays = {
        "action": _checked("actions", episode.actions, np.float32, 2),
        "observation.state": _checked("proprio", episode.proprio, np.float32, 2),
        "sim.state": _checked("states", episode.states, np.float64, 2),
        "next.reward": _checked("rewards", episode.rewards, np.float32, 1),
    }
    lengths = {name: len(array) for name, array in arrays.items()}
    frames = episode.frames
    if frames is not None:
        check_frames(frames)
        lengths["frames"] = len(frames)
    if len(set(lengths.values())) != 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise ForesightError(
            f"The arrays of an episode of {episode.spec.task} differ in length ({listed}): every "
            "step needs one of each."
        )
    if frames is None:
        return EncodedEpisode(episode.spec, None, fps, None, None, arrays)
    image = (frames.shape[1], frames.shape[2])
    video = encode_video(frames, fps)
    return EncodedEpisode(episode.spec, video, fps, image, histogram(frames), arrays)


def encoder(fps: int) -> Callable[[Episode], EncodedEpisode]:
    """:func:`encode_episode` at a frame rate, as something that can be sent to a process."""
    return partial(encode_episode, fps=fps)


def _checked(name: str, array: np.ndarray, dtype: type, ndim: int) -> np.ndarray:
    array = np.asarray(array)
    if array.ndim != ndim or 0 in array.shape:
        raise ForesightError(
            f"The {name} of an episode have shape {list(array.shape)} but {ndim} filled axes, "
            "time first, are expected: store whole episodes of one step or more."
        )
    if array.dtype.kind not in "fiub":
        raise ForesightError(
            f"The {name} of an episode have dtype {array.dtype} but {np.dtype(dtype)} is "
            "expected: convert them."
        )
    finite = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    if not finite.all():
        raise ForesightError(
            f"The {name} of an episode hold a value that is not finite at step "
            f"{int(np.argmin(finite))}: find out why before storing it, nothing was written."
        )
    return np.ascontiguousarray(array, dtype)
