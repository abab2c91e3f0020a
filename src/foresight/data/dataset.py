"""A folder of episodes: any LeRobot dataset to read, one of ours to append to.

What this package writes is a LeRobotDataset v3.0; ``catalog`` says what happens to it when a
writer is killed.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Int64, UInt8

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint
from foresight.core.observation import STATE_KEY
from foresight.core.spec import Spec
from foresight.data.catalog import Index, fold, load_index, next_file, write_info
from foresight.data.columns import expect_finite, read_arrays
from foresight.data.encoding import EncodedEpisode, encode_episode
from foresight.data.episodes import EpisodeMeta, ended
from foresight.data.features import (
    ACTION,
    LOSSLESS,
    OUTCOME,
    PLACES,
    REWARD,
    Schema,
    own_schema,
)
from foresight.data.frames import choose_camera, image_frames, video_frames
from foresight.data.identity import dataset_fingerprint
from foresight.data.layout import is_dataset, temporary_files
from foresight.data.recording import (
    FolderLock,
    check_columns,
    check_spec,
    clean,
    expect_writable,
    write_episode,
)

LEARNED = (ACTION, STATE_KEY, REWARD)
"""Columns that are refused where they hold NaN or Infinity."""


class Dataset:
    """A folder of episodes.

    Open one with :meth:`open`, :meth:`create` or :meth:`open_or_create`. Reading needs no lock and
    works while another process appends. The first :meth:`append` takes the folder for this
    process; :meth:`close` (or leaving a ``with`` block) makes it a plain LeRobotDataset. Without
    it nothing that was appended is lost: the next writer finishes the metadata.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, index: Index | None, spec: Spec, codec: str) -> None:
        self.path = path
        self._index = index
        self._spec = spec
        self._codec = codec
        self._lock = FolderLock(path)
        self._next_file = 0
        self._times: dict[str, np.ndarray] = {}

    @classmethod
    def create(cls, path: Path | str, spec: Spec, *, codec: str = LOSSLESS) -> Dataset:
        """Make a new dataset; its further columns are those of the first episode.

        Args:
            path: a folder that does not exist or is empty.
            spec: what every episode has: cameras, state, action, rate.
            codec: ``lossless``, or ``av1`` or ``h264`` in yuv420p for real cameras.

        Raises:
            ForesightError: there is something already, the folder cannot be written, or no such
                codec.
        """
        path = Path(path)
        expect_writable(spec, codec)
        with disk_errors(path):
            path.mkdir(parents=True, exist_ok=True)
            if is_dataset(path):
                raise ForesightError(
                    f"{path} is a dataset already: choose another folder or open this one."
                )
            leftovers = set(temporary_files(path))
            others = [p for p in path.rglob("*") if p.is_file() and p not in leftovers]
        if others:
            raise ForesightError(
                f"{path} is no dataset and not empty (it holds {others[0].relative_to(path)}): "
                "choose another folder."
            )
        return cls(path, None, spec, codec)

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """Open a LeRobot dataset, v3.0 or v2.1, by whatever program.

        Raises:
            ForesightError: no dataset, or damaged metadata.
        """
        index = load_index(Path(path))
        return cls(Path(path), index, index.schema.spec, index.schema.codec or LOSSLESS)

    @classmethod
    def open_or_create(cls, path: Path | str, spec: Spec, *, codec: str = LOSSLESS) -> Dataset:
        """Open the dataset at ``path``, which must be of this spec, or make one there.

        Raises:
            ForesightError: as ``create`` and ``open``, or the dataset has another spec or codec.
        """
        if not is_dataset(Path(path)):
            return cls.create(path, spec, codec=codec)
        dataset = cls.open(path)
        spec.expect(dataset.spec, "The new episodes", f"the dataset {path}")
        if dataset.schema.own and dataset.schema.codec != codec:
            raise ForesightError(
                f"{path} has frames written as {dataset.schema.codec}, not as {codec}: choose "
                "another folder or that codec."
            )
        return dataset

    def __enter__(self) -> Dataset:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # After an error (a full disk, say) the metadata waits for the next writer.
        if error is None:
            self.close()
        else:
            self.release()

    # --- what it holds -------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.metas)

    @property
    def spec(self) -> Spec:
        """Cameras, state, action, rate and the tasks that occur."""
        s = self._spec
        return Spec(s.cameras, s.state, s.action, s.fps, tuple(self.tasks))

    @property
    def schema(self) -> Schema:
        """Features and layout.

        Raises:
            ForesightError: the dataset is new and has no episode yet.
        """
        if self._index is None:
            raise ForesightError(f"{self.path} has no episode yet: append one first.")
        return self._index.schema

    @property
    def cameras(self) -> list[str]:
        """Names of the cameras, in order."""
        return list(self._spec.cameras)

    @property
    def metas(self) -> list[EpisodeMeta]:
        """The episodes' descriptions, in order."""
        return self._index.metas if self._index is not None else []

    @property
    def lengths(self) -> list[int]:
        """Steps of each episode."""
        return [meta.length for meta in self.metas]

    @property
    def offsets(self) -> Int64[np.ndarray, " n"]:
        """Rows ``offsets[i]:offsets[i + 1]`` of a column are episode i; one longer than it."""
        return np.concatenate(([0], np.cumsum(self.lengths, dtype=np.int64)))

    @property
    def tasks(self) -> list[str]:
        """Tasks in order of first appearance."""
        return self._index.tasks if self._index is not None else []

    @property
    def only_task(self) -> str:
        """The only task.

        Raises:
            ForesightError: the dataset holds none or several.
        """
        if len(self.tasks) != 1:
            raise ForesightError(
                f"{self.path} holds the tasks {', '.join(self.tasks) or 'none'} but one is "
                "expected: choose a dataset of a single task."
            )
        return self.tasks[0]

    def task(self, i: int) -> str:
        """What was to be done in episode ``i``; empty where nobody says."""
        return self._meta(i).task

    @property
    def fingerprint(self) -> str:
        """Hash of what the dataset holds."""
        return (
            fingerprint([{}, []])
            if self._index is None
            else dataset_fingerprint(self.path, self._index)
        )

    @property
    def folded(self) -> bool:
        """Whether ``meta/`` is up to date, so that other LeRobot readers see every episode."""
        return self._index is not None and self._index.complete

    # --- reading -------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return self._index is not None and name in self.schema.columns()

    def column(self, name: str, finite: bool = True) -> np.ndarray:
        """One feature of all steps of all episodes: ``[N, ...]``, or ``[N]`` for single numbers.

        Args:
            name: as on disk: ``action``, ``observation.state``, ``next.reward``, ``timestamp``,
                ``sim.state``, ...
            finite: refuse NaN and Infinity in action, state and reward.

        Raises:
            ForesightError: unknown name, damaged file, or a number that is not finite, named by
                episode, row and column.
        """
        values = self._arrays(self.metas, [name])[name]
        if finite and name in LEARNED:
            expect_finite(name, values, self.metas, self.schema, self.path)
        return values

    def frames(
        self, i: int, camera: str | None = None, start: int = 0, stop: int | None = None
    ) -> UInt8[np.ndarray, "T H W 3"]:
        """Frames of episode ``i``, uint8 RGB ``[T, H, W, 3]``.

        Args:
            i: the episode.
            camera: name of a camera; may be left out where there is one.
            start: first step, as in a slice.
            stop: step before which to end; all of them if not given.

        Raises:
            ForesightError: no such camera or episode, or a file that is missing or damaged.
        """
        meta, camera = self._meta(i), choose_camera(self._spec, camera, self.path)
        start, stop, _ = slice(start, stop).indices(meta.length)
        key = self.schema.cameras[camera]
        height, width = self._spec.cameras[camera]
        if stop <= start:
            return np.empty((0, height, width, 3), np.uint8)
        if self.schema.features[key].dtype == "image":
            return image_frames(self.path, meta, key, (height, width), start, stop)
        return video_frames(self.path, meta, key, (height, width), start, stop, self._times)

    def episode(self, i: int) -> Episode:
        """Episode ``i``, with the frames of all cameras.

        Raises:
            ForesightError: no such episode or a damaged file.
        """
        meta = self._meta(i)
        names = [n for n, f in self.schema.columns().items() if f.dtype != "string"]
        arrays = self._arrays([meta], names)
        for name in LEARNED:
            if name in arrays:
                expect_finite(name, arrays[name], [meta], self.schema, self.path)
        own = (ACTION, STATE_KEY, *OUTCOME, *PLACES)
        steps = meta.length
        state = arrays.get(STATE_KEY, np.empty((steps, 0)))
        reward = arrays.get(REWARD)
        return Episode(
            images={camera: self.frames(i, camera) for camera in self._spec.cameras},
            state=np.asarray(state.reshape(steps, -1), np.float32),
            action=np.asarray(arrays[ACTION].reshape(steps, -1), np.float32),
            reward=None if reward is None else np.asarray(reward.reshape(steps), np.float32),
            terminated=ended(meta.terminated, arrays.get("next.terminated")) or False,
            task=meta.task,
            fps=self._spec.fps,
            success=ended(meta.success, arrays.get("next.success"), anywhere=True),
            columns={name: array for name, array in arrays.items() if name not in own},
            info=dict(meta.info),
        )

    # --- writing -------------------------------------------------------------------------------

    def append(self, episode: Episode | EncodedEpisode) -> int:
        """Add an episode; when this returns it is on disk for good.

        Args:
            episode: an episode, or what ``encode_episode`` made of it in another process.

        Returns:
            Its index.

        Raises:
            ForesightError: it does not fit this dataset (cameras, sizes, columns, rate, values
                that are not finite), the disk is full, the folder cannot be written, another
                process is writing it or another program wrote it.
        """
        if not isinstance(episode, EncodedEpisode):
            episode = encode_episode(episode, self._codec)
        check_spec(episode, self._spec, self.path)
        self._take()
        if self._index is None:
            fresh = Index(own_schema(self._spec, episode.arrays, self._codec))
            # The first file: from here on the folder is a dataset, with no episode yet.
            write_info(self.path, fresh)
            self._index = fresh
        check_columns(episode, self._index.schema, self.path)
        meta = write_episode(self.path, self._index, episode, self._next_file)
        self._next_file += 1
        return meta.index

    def finish(self) -> None:
        """Bring ``meta/`` up to date with all episodes, also those of a killed writer.

        Raises:
            ForesightError: another process is writing, the disk is full or a file is damaged;
                the episodes stay.
        """
        if self._index is None or not self._index.schema.own:
            return
        if self._index.complete and not self._index.orphans:
            return
        self._take()
        if not self._index.complete:
            fold(self.path, self._index)

    def close(self) -> None:
        """Finish what this object has appended and let the folder go; twice is once.

        Raises:
            ForesightError: as ``finish``.
        """
        try:
            if self._lock.held:
                self.finish()
        finally:
            self.release()

    def release(self) -> None:
        """Let the folder go without finishing the metadata; the next writer will."""
        self._lock.release()

    # --- inner parts ---------------------------------------------------------------------------

    def _meta(self, i: int) -> EpisodeMeta:
        if not -len(self) <= i < len(self):
            raise ForesightError(
                f"{self.path} has no episode {i}: it holds {len(self)}, numbered from 0."
            )
        return self.metas[i]

    def _arrays(self, metas: list[EpisodeMeta], names: list[str]) -> dict[str, np.ndarray]:
        known = list(self.schema.columns())
        for name in names:
            if name not in known:
                raise ForesightError(
                    f"{self.path} has no column {name!r}: choose one of {', '.join(known)}."
                )
        return read_arrays(self.path, metas, names, self.schema)

    def _take(self) -> None:
        """Become the only writer, check that nobody else was, remove what a killed one left."""
        if self._lock.held:
            return
        self._lock.take()
        try:
            index = load_index(self.path) if is_dataset(self.path) else None
            found = index.metas if index is not None else []
            if found != self.metas:
                raise ForesightError(
                    f"{self.path} has changed since it was opened ({len(self)} episodes then, "
                    f"{len(found)} now): open it again."
                )
            if index is not None and not index.own:
                raise ForesightError(
                    f"{self.path} holds episodes of another program: record new ones into a "
                    "folder of their own."
                )
            clean(self.path, index)
        except BaseException:
            self._lock.release()
            raise
        self._index = index
        self._next_file = 0 if index is None else next_file(self.path, index)
