"""One demonstration, from a file, a dataset or a camera, and what the robot sees of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.clip import read_video
from foresight.data.dataset import Dataset
from foresight.data.video import check_frames
from foresight.envs.dmc.tasks import canonical
from foresight.perception.encoder import Encoder
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder

LEAST = 2
"""Decisions a demonstration must last: one picture shows no way to go."""
TOLERANCE = 0.02
"""Relative error of a frame rate that is taken for rounding."""


@dataclass(frozen=True)
class Demonstration:
    """Frames of somebody doing a task, nothing else needed.

    Raises:
        ForesightError: frames that are not uint8 ``[T, H, W, 3]``, a rate that is not positive, or
            actions of another length.
    """

    frames: UInt8[np.ndarray, "T H W 3"]
    rate: float
    """Frames per second."""
    source: str = "frames"
    """Where they come from, for messages."""
    task: str | None = None
    """The task, where it is known."""
    seed: int | None = None
    """Of the episode it was recorded in, where that is known."""
    actions: Float[np.ndarray, "T A"] | None = None
    """What was done at each frame, where it is known; only an open-loop replay uses it."""

    def __post_init__(self) -> None:
        check_frames(self.frames)
        if not 0 < self.rate < float("inf"):
            raise ForesightError(
                f"{self.source} has {self.rate} frames per second: give a positive number."
            )
        if self.actions is not None and len(self.actions) != len(self.frames):
            raise ForesightError(
                f"{self.source} has {len(self.actions)} actions for {len(self.frames)} frames: "
                "give one action for each frame, or none at all."
            )

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.frames) / self.rate

    def every(self, stride: int) -> UInt8[np.ndarray, "N H W 3"]:
        """Frame 0 and every ``stride``-th after it.

        Raises:
            ForesightError: fewer than two of them.
        """
        kept = self.frames[::stride]
        if len(kept) < LEAST:
            raise ForesightError(
                f"{self.source} has {len(self.frames)} frames, {len(kept)} of them at a decision: "
                f"a demonstration needs at least {(LEAST - 1) * stride + 1} frames."
            )
        return kept


def open_demonstration(spec: str | Path) -> Demonstration:
    """Read ``FILE.mp4``, or episode INDEX of a dataset as ``FOLDER:INDEX``.

    Raises:
        ForesightError: there is no such file or episode, or it cannot be read.
    """
    text = str(spec)
    if Path(text).is_file():
        return from_video(Path(text))
    folder, colon, index = text.rpartition(":")
    if colon and Path(folder).is_dir() and index.lstrip("-").isdigit():
        return from_episode(Dataset.open(folder), int(index))
    raise ForesightError(
        f"There is no demonstration {text}: give a video file, or FOLDER:INDEX of a dataset."
    )


def from_video(path: Path) -> Demonstration:
    """All frames of a video file, upright and at an even rate, in any format FFmpeg decodes.

    Raises:
        ForesightError: it is missing, holds no picture, or cannot be decoded.
    """
    clip = read_video(path)
    return Demonstration(clip.frames, clip.rate, str(path))


def from_episode(store: Dataset, index: int) -> Demonstration:
    """An episode of a dataset, with the actions that were taken.

    Raises:
        ForesightError: no such episode, no frames, or a damaged file.
    """
    frames = store.frames(index)
    first, last = store.offsets[index], store.offsets[index + 1]
    actions = np.asarray(store.column("action")[first:last], np.float32)
    source, seed = f"{store.path}:{index}", store.metas[index].info.get("seed")
    return Demonstration(frames, store.spec.fps, source, store.task(index), seed, actions=actions)


class Recorded:
    """The demonstrations of a dataset by the seeds of their episodes.

    Args:
        folder: of the dataset.

    Raises:
        ForesightError: there is no dataset; on call, no episode of that seed.
    """

    def __init__(self, folder: Path | str) -> None:
        self.store = Dataset.open(folder)
        self.places = {
            meta.info["seed"]: place
            for place, meta in enumerate(self.store.metas)
            if "seed" in meta.info
        }

    def __call__(self, seed: int) -> Demonstration:
        """The demonstration of a seed."""
        if seed not in self.places:
            raise ForesightError(
                f"{self.store.path} has no demonstration for seed {seed}: record one."
            )
        return from_episode(self.store, self.places[seed])

    def __iter__(self) -> Iterator[Demonstration]:
        """All of them, in the order of the dataset."""
        return map(self, self.places)


@dataclass(frozen=True)
class Shown:
    """A demonstration as the robot sees it, one entry for each of its N decisions."""

    features: Float[Tensor, "N F"]
    """Place numbers."""
    z: Float[Tensor, "N Z"]
    """Latent states."""
    stride: int
    """Frames of the demonstration between two decisions."""

    def __len__(self) -> int:
        return len(self.z)


@torch.inference_mode()
def watch(demonstration: Demonstration, model: WorldModel, encoder: Encoder, rate: float) -> Shown:
    """See a demonstration as the agent sees its own episodes: one tubelet for each decision.

    Args:
        demonstration: of the model's task and camera.
        model: learned; its ``repeat`` and the task's rate say how often it decides.
        encoder: its eyes.
        rate: control steps of the task in a second.

    Raises:
        ForesightError: other eyes, another task, size or frame rate, or too few frames.
    """
    model.config.expect_encoder(encoder.fingerprint)
    _expect_task(demonstration, model.config.task)
    _expect_size(demonstration, encoder.image_size)
    stride = stride_of(demonstration, rate / model.config.repeat)
    frames = demonstration.every(stride)
    gaze = ObservationEncoder(encoder, model.state)
    features = torch.cat([gaze.see(frame[None]) for frame in frames]).float().clone()
    return Shown(features, model.encode(features).float(), stride)


def stride_of(demonstration: Demonstration, decisions: float) -> int:
    """Frames of the demonstration from one decision to the next.

    Args:
        demonstration: with its frame rate.
        decisions: per second.

    Raises:
        ForesightError: the frame rate is no whole multiple of the decisions'.
    """
    ratio = demonstration.rate / decisions
    stride = round(ratio)
    if stride < 1 or abs(ratio - stride) > TOLERANCE * stride:
        raise ForesightError(
            f"{demonstration.source} has {demonstration.rate:g} frames per second and the robot "
            f"decides {decisions:g} times: give a video at a whole multiple of that."
        )
    return stride


def _expect_task(demonstration: Demonstration, task: str) -> None:
    if demonstration.task is not None and canonical(demonstration.task) != canonical(task):
        raise ForesightError(
            f"{demonstration.source} shows {demonstration.task} and the model has learned {task}: "
            "give a demonstration of that task."
        )


def _expect_size(demonstration: Demonstration, size: int) -> None:
    height, width = demonstration.frames.shape[1:3]
    if (height, width) != (size, size):
        raise ForesightError(
            f"{demonstration.source} is {width} x {height} pixels and the robot's camera gives "
            f"{size} x {size}: record it with the robot's own camera and size."
        )
