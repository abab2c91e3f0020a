"""Episodes on disk: append, read back, resume.

A folder written here is a LeRobotDataset v3.0 (see ``schema``); ``index`` says what happens to
it when a writer is killed.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint
from foresight.data.encoded import EncodedEpisode, encode_episode
from foresight.data.index import (
    Index,
    fold,
    is_dataset,
    load_index,
    next_file,
    read_arrays,
    write_info,
)
from foresight.data.records import STORED
from foresight.data.schema import EpisodeMeta, Schema, fps_of, temporary_files, video_path
from foresight.data.video import decode_video
from foresight.data.writing import FolderLock, check_fits, clean, schema_of, write_episode

if TYPE_CHECKING:
    from foresight.envs.render import RenderSettings
    from foresight.rollout.episode import Episode, EpisodeSpec


class EpisodeStore:
    """A folder of episodes.

    Open one with :meth:`create`, :meth:`open` or :meth:`open_or_create`. Reading needs no lock
    and works while another process appends. The first :meth:`append` takes the folder for this
    process; :meth:`close` (or leaving a ``with`` block) makes it a plain LeRobotDataset. Without
    it nothing that was appended is lost: the next writer finishes the metadata.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path, index: Index | None, control_timestep: float | None) -> None:
        self.path = path
        self._index = index
        self._control_timestep = control_timestep
        self._lock = FolderLock(path)
        self._next_file = 0

    @classmethod
    def create(cls, path: Path | str, *, control_timestep: float) -> EpisodeStore:
        """Make a new dataset; its features are those of the first episode.

        Args:
            path: a folder that does not exist or is empty.
            control_timestep: seconds between two stored observations.

        Raises:
            ForesightError: there is something already, or the folder cannot be written.
        """
        path = Path(path)
        fps_of(control_timestep)
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
        return cls(path, None, control_timestep)

    @classmethod
    def open(cls, path: Path | str) -> EpisodeStore:
        """Open a dataset for reading, and for appending if wanted.

        Raises:
            ForesightError: no dataset, or a damaged one.
        """
        return cls(Path(path), load_index(Path(path)), None)

    @classmethod
    def open_or_create(cls, path: Path | str, *, control_timestep: float) -> EpisodeStore:
        """Open the dataset at ``path`` or make one there.

        Raises:
            ForesightError: as ``create`` and ``open``, or the dataset has another time step.
        """
        if not is_dataset(Path(path)):
            return cls.create(path, control_timestep=control_timestep)
        store = cls.open(path)
        found = store.schema.control_timestep
        if found != control_timestep:
            raise ForesightError(
                f"{path} has a control time step of {found} s but the new episodes have "
                f"{control_timestep} s: choose another folder for them."
            )
        return store

    def __enter__(self) -> EpisodeStore:
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

    # --- reading -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.metas)

    @property
    def schema(self) -> Schema:
        """What is equal for all episodes.

        Raises:
            ForesightError: the dataset is new and has no episode yet.
        """
        return self._loaded().schema

    @property
    def metas(self) -> list[EpisodeMeta]:
        """The episodes' descriptions, in order."""
        return self._index.metas if self._index is not None else []

    @property
    def lengths(self) -> list[int]:
        """Steps of each episode."""
        return [meta.length for meta in self.metas]

    @property
    def fps(self) -> int:
        """Frames per second."""
        if self._index is None:
            assert self._control_timestep is not None
            return fps_of(self._control_timestep)
        return self.schema.fps

    @property
    def tasks(self) -> list[str]:
        """Task ids in order of first appearance."""
        return self._index.tasks if self._index is not None else []

    @property
    def task(self) -> str:
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

    @property
    def render(self) -> RenderSettings | None:
        """How the frames were rendered, None for a dataset without frames."""
        from foresight.envs.render import RenderSettings

        render = self.schema.render
        return None if render is None else RenderSettings(**render)

    @property
    def fingerprint(self) -> str:
        """Hash of what the dataset holds, from stored hashes: no data file is read."""
        schema = asdict(self.schema) if self._index is not None else {}
        rows = [(m.task, m.spec_hash, m.data_hash, m.video_hash) for m in self.metas]
        return fingerprint([schema, rows])

    @property
    def folded(self) -> bool:
        """Whether ``meta/`` is up to date, so that other LeRobot readers see every episode."""
        return self._index is not None and self._index.complete

    def frames(self, i: int) -> UInt8[np.ndarray, "T H W 3"]:
        """The frames of episode ``i``, uint8 ``[T, H, W, 3]``, exactly as rendered.

        Raises:
            ForesightError: the dataset has no frames, or the video is missing or damaged.
        """
        meta = self._meta(i)
        if meta.video_file is None or self.schema.image is None:
            raise ForesightError(
                f"{self.path} has no frames: collect it again with render settings."
            )
        path = video_path(self.path, meta.video_file)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ForesightError(
                f"{path} cannot be read ({error.strerror}): run `foresight data repair` to drop "
                "the episode, or copy the file again."
            ) from error
        if fingerprint(data) != meta.video_hash:
            raise ForesightError(
                f"{path} is not the video that was written ({len(data)} bytes, wrong hash), it is "
                "damaged or cut short: run `foresight data repair` to drop the episode."
            )
        return decode_video(data, meta.length, *self.schema.image)

    def column(self, name: str) -> np.ndarray:
        """One feature of all steps of all episodes: ``[N, D]`` or ``[N]``.

        Args:
            name: ``action``, ``observation.state``, ``sim.state`` (two axes), ``next.reward``,
                ``next.done``, ``next.success``, ``timestamp``, ``frame_index``, ... (one axis).

        Raises:
            ForesightError: unknown name or damaged file.
        """
        return self._arrays(self.metas, [name])[name]

    def episode(self, i: int) -> Episode:
        """Episode ``i`` as it was appended.

        Raises:
            ForesightError: no such episode or a damaged file.
        """
        from foresight.rollout.episode import Episode

        meta = self._meta(i)
        arrays = self._arrays([meta], list(STORED))
        return Episode(
            spec=self.spec(i),
            frames=None if meta.video_file is None else self.frames(i),
            proprio=arrays["observation.state"],
            states=arrays["sim.state"],
            actions=arrays["action"],
            rewards=arrays["next.reward"],
        )

    def spec(self, i: int) -> EpisodeSpec:
        """The spec that gives episode ``i`` again."""
        from foresight.rollout.episode import EpisodeSpec

        meta = self._meta(i)
        return EpisodeSpec(
            meta.task, meta.seed, meta.behaviour, meta.protocol, self.render, meta.steps
        )

    # --- writing -------------------------------------------------------------------------------

    def append(self, episode: Episode | EncodedEpisode) -> int:
        """Add an episode; when this returns it is on disk for good.

        Args:
            episode: an episode, or what ``encode_episode`` made of it in another process.

        Returns:
            Its index.

        Raises:
            ForesightError: it does not fit this dataset (shapes, frame size, render settings,
                values that are not finite), the disk is full, the folder cannot be written or
                another process is writing it.
        """
        if not isinstance(episode, EncodedEpisode):
            episode = encode_episode(episode, self.fps)
        self._take()
        if self._index is None:
            assert self._control_timestep is not None
            fresh = Index(schema_of(episode, self._control_timestep))
            # The first file: from here on the folder is a dataset, with no episode yet.
            write_info(self.path, fresh)
            self._index = fresh
        check_fits(self.path, episode, self._index.schema)
        meta = write_episode(self.path, self._index, episode, self._next_file)
        self._next_file += 1
        return meta.index

    def finish(self) -> None:
        """Bring ``meta/`` up to date with all episodes, also those of a killed writer.

        Raises:
            ForesightError: another process is writing, the disk is full or a file is damaged;
                the episodes stay.
        """
        if self._index is None or (self._index.complete and not self._index.orphans):
            return
        self._take()
        if not self._index.complete:
            fold(self.path, self._index)

    def close(self) -> None:
        """Finish what this store has appended and let the folder go; twice is once.

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

    def _loaded(self) -> Index:
        if self._index is None:
            raise ForesightError(f"{self.path} has no episode yet: append one first.")
        return self._index

    def _meta(self, i: int) -> EpisodeMeta:
        if not -len(self) <= i < len(self):
            raise ForesightError(
                f"{self.path} has no episode {i}: it holds {len(self)}, numbered from 0."
            )
        return self.metas[i]

    def _arrays(self, metas: list[EpisodeMeta], names: list[str]) -> dict[str, np.ndarray]:
        known = list(self.schema.numeric_features())
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
            clean(self.path, index)
        except BaseException:
            self._lock.release()
            raise
        self._index = index
        self._next_file = next_file(found)
