"""The frames of many datasets as one array to draw clips from."""

from __future__ import annotations

import fcntl
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint, read_json, write_json
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.data.windows import split_episodes
from foresight.perception.encode import chosen_cameras, prepared_frames
from foresight.perception.preprocess import DEFAULT_FIT, Fit, PicturePreparation

HELD_OUT = 0.1
SPLIT_SEED = 0


@dataclass(frozen=True)
class Clips:
    """What a clip looks like.

    Attributes:
        frames: number of frames T.
        strides: environment steps between two frames; one is drawn for each clip.
    """

    frames: int
    strides: tuple[int, ...] = (1, 2, 3, 4)


class FrameBank:
    """Decoded frames of one camera of all episodes of some datasets, memory-mapped.

    Args:
        datasets: any LeRobot datasets, episodes of any lengths.
        folder: where the decoded frames are kept; the same datasets find them again.
        camera: its name in every dataset; each one's first camera if not given.
        size: side of the squares that frames are brought to; None keeps frames as they are, which
            then need one size in all datasets.
        fit: how frames of another shape become squares: squash, crop or pad.

    Attributes:
        frames: uint8 ``[N, H, W, 3]``.
        datasets: the datasets.
        fingerprint: of datasets, camera and size.
        size: height and width of the frames.
        starts, lengths: first frame and length of every episode, over all datasets in turn.
        first: first episode of every dataset, a row of ``starts``.
        train: episodes (rows of ``starts``) to train on; the others are held out for probes.

    Raises:
        ForesightError: no dataset, one without frames or without such a camera, sizes that differ,
            or a full disk (found before anything is decoded).
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        folder: Path | str,
        camera: str | None = None,
        size: int | None = None,
        fit: Fit = DEFAULT_FIT,
    ) -> None:
        self.datasets = list(datasets)
        if not self.datasets:
            raise ForesightError("No dataset was given: name one or more folders of episodes.")
        names = None if camera is None else [camera]
        self.cameras = [chosen_cameras(dataset, names)[0] for dataset in self.datasets]
        self._prepare = None if size is None else PicturePreparation(size, fit)
        self.size = self._common_size() if size is None else (size, size)
        self.fingerprint = self._identity()
        self.lengths = np.concatenate([np.asarray(d.lengths, np.int64) for d in self.datasets])
        self.starts = np.concatenate(([0], np.cumsum(self.lengths)[:-1]))
        self.first = np.concatenate(([0], np.cumsum([len(d) for d in self.datasets])))
        self.train = np.concatenate(
            [
                first + np.asarray(_training(len(dataset)))
                for first, dataset in zip(self.first, self.datasets, strict=False)
            ]
        )
        self.frames = self._open(Path(folder))

    def draw(
        self, clips: Clips, batch: int, random: np.random.Generator, shift: int = 0
    ) -> UInt8[np.ndarray, "b t h w 3"]:
        """Clips ``[B, T, H, W, 3]`` of training episodes, each within one episode.

        An episode is drawn as often as it is long, and every first frame is as likely as any that
        leaves room for the clip. Where an episode is too short for a stride, the largest that
        fits is taken; where it is shorter than T frames, its last one is repeated.

        Args:
            clips: length and strides.
            batch: how many.
            random: source of randomness.
            shift: the picture is moved by up to so many pixels, its border repeated.
        """
        weights = self.lengths[self.train]
        episodes = random.choice(self.train, batch, p=weights / weights.sum())
        strides = random.choice(clips.strides, batch)
        room = (self.lengths[episodes] - 1) // max(1, clips.frames - 1)
        strides = np.minimum(strides, np.maximum(1, room))
        slack = self.lengths[episodes] - (clips.frames - 1) * strides
        first = (random.random(batch) * np.maximum(slack, 1)).astype(np.int64)
        steps = first[:, None] + np.arange(clips.frames) * strides[:, None]
        steps = np.minimum(steps, self.lengths[episodes][:, None] - 1)
        found = self.frames[self.starts[episodes][:, None] + steps]
        return _shifted(found, shift, random) if shift else found

    def _open(self, folder: Path) -> UInt8[np.ndarray, "n h w 3"]:
        name = self.fingerprint
        path, done = folder / f"{name}.u8", folder / f"{name}.json"
        shape = (int(self.lengths.sum()), *self.size, 3)
        about = {"shape": list(shape)}
        with disk_errors(path):
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # of several processes, one decodes
                if not (path.exists() and done.exists() and read_json(done) == about):
                    done.unlink(missing_ok=True)
                    _allocate(path, math.prod(shape))
                    out = np.memmap(path, np.uint8, "r+", shape=shape)
                    self._decode(out)
                    out.flush()
                    write_json(done, about)
        return np.memmap(path, np.uint8, "r", shape=shape)

    def _decode(self, out: np.ndarray) -> None:
        """Fill ``out``; video decoding leaves Python, so two threads use two cores."""
        jobs = [(d, i) for d, dataset in enumerate(self.datasets) for i in range(len(dataset))]

        def fill(job: tuple[int, int]) -> None:
            d, i = job
            row = int(self.first[d]) + i
            first, length = int(self.starts[row]), int(self.lengths[row])
            prepare = self._prepare or (lambda frames: frames)
            found = prepared_frames(self.datasets[d], i, self.cameras[d], prepare)
            out[first : first + length] = found

        with ThreadPoolExecutor(2) as pool:
            for _ in track(pool.map(fill, jobs), "decode frames", len(jobs)):
                pass

    def _sizes(self) -> list[tuple[int, int]]:
        """Height and width of every dataset's frames."""
        cameras = zip(self.datasets, self.cameras, strict=True)
        return [dataset.spec.cameras[camera] for dataset, camera in cameras]

    def _identity(self) -> str:
        """Hash of what the frames are."""
        prepare = self._prepare
        rules = [None if prepare is None else prepare.rule(*size) for size in self._sizes()]
        parts = zip(self.datasets, self.cameras, rules, strict=True)
        return fingerprint([[d.fingerprint, camera, rule] for d, camera, rule in parts])

    def _common_size(self) -> tuple[int, int]:
        sizes = self._sizes()
        if len(set(sizes)) > 1:
            listed = ", ".join(
                f"{dataset.path} {height}x{width}"
                for dataset, (height, width) in zip(self.datasets, sizes, strict=True)
            )
            raise ForesightError(
                f"The datasets have frames of different sizes ({listed}): name one with --size."
            )
        return sizes[0]


def _allocate(path: Path, size: int) -> None:
    """Make ``path`` of ``size`` bytes; a memory map that meets a full disk later kills Python."""
    with path.open("wb") as file:
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


def _training(episodes: int) -> list[int]:
    """Episodes to train on; a dataset of one or two episodes is used whole."""
    return split_episodes(episodes, HELD_OUT, SPLIT_SEED)[0] if episodes > 2 else [*range(episodes)]


def _shifted(
    clips: UInt8[np.ndarray, "b t h w 3"], most: int, random: np.random.Generator
) -> UInt8[np.ndarray, "b t h w 3"]:
    height, width = clips.shape[2:4]
    down, right = random.integers(-most, most + 1, (2, len(clips)))
    rows = np.clip(np.arange(height) + down[:, None], 0, height - 1)
    columns = np.clip(np.arange(width) + right[:, None], 0, width - 1)
    out = np.empty_like(clips)
    for index, clip in enumerate(clips):
        out[index] = clip[:, rows[index]][:, :, columns[index]]
    return out
