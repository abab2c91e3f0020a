"""Putting one episode on disk, by the only process that may."""

from __future__ import annotations

import fcntl
import os
from dataclasses import asdict
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint, write_bytes
from foresight.data.encoded import EncodedEpisode
from foresight.data.index import Index
from foresight.data.records import Record, columns_of, data_bytes, hash_arrays, success_flags
from foresight.data.schema import (
    VIDEO_KEY,
    EpisodeMeta,
    Schema,
    data_path,
    temporary_files,
    video_path,
)
from foresight.data.stats import image_stats, numeric_stats


class FolderLock:
    """The right to write a folder, held by one process at a time.

    The kernel lets it go when the process ends, however that happens, and no file is left.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def take(self) -> None:
        """Take the lock.

        Raises:
            ForesightError: another process has it, or the folder cannot be opened.
        """
        with disk_errors(self.path):
            descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(descriptor)
            raise ForesightError(
                f"Another process is writing {self.path}: wait for it or choose another folder."
            ) from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the lock go, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def clean(root: Path, index: Index | None) -> None:
    """Remove what belongs to no episode; only for the holder of the lock."""
    orphans = temporary_files(root) if index is None else index.orphans
    with disk_errors(root):
        for path in orphans:
            path.unlink(missing_ok=True)
    if index is not None:
        index.orphans = []


def schema_of(episode: EncodedEpisode, control_timestep: float) -> Schema:
    """The schema of a dataset that begins with ``episode``."""
    render = episode.spec.render
    return Schema(
        control_timestep=control_timestep,
        action=episode.arrays["action"].shape[1],
        proprio=episode.arrays["observation.state"].shape[1],
        state=episode.arrays["sim.state"].shape[1],
        image=episode.image,
        render=None if episode.image is None or render is None else asdict(render),
    )


def check_fits(path: Path, episode: EncodedEpisode, schema: Schema) -> None:
    """Refuse an episode of another kind than those of the dataset at ``path``.

    Raises:
        ForesightError: sizes, render settings or frame rate differ.
    """
    found = asdict(schema_of(episode, schema.control_timestep))
    who = f"The episode of {episode.spec.task} (seed {episode.spec.seed})"
    for name, expected in asdict(schema).items():
        if found[name] != expected:
            raise ForesightError(
                f"{who} has {_NAMES[name]} {found[name]} but {path} has {expected}: store it in "
                "another dataset."
            )
    if episode.fps != schema.fps:
        raise ForesightError(
            f"{who} was encoded at {episode.fps} frames a second but {path} has {schema.fps}: "
            "encode it at that rate."
        )


def write_episode(root: Path, index: Index, episode: EncodedEpisode, number: int) -> EpisodeMeta:
    """Write the files of an episode and add it to ``index``.

    Args:
        root: the dataset's folder.
        index: its episodes; changed only when the files are in place.
        episode: what to write.
        number: free file number.

    Raises:
        ForesightError: the disk is full or the folder cannot be written.
    """
    record = _record(episode, index, number)
    meta = record.meta
    columns = columns_of(episode.arrays, meta, index.task_index(meta.task), index.schema.fps)
    record.stats |= numeric_stats(columns)
    content = data_bytes(columns, record, index.schema)
    video = video_path(root, number)
    if episode.video is not None:
        write_bytes(video, episode.video)
    try:
        write_bytes(data_path(root, number), content)  # commits the episode
    except BaseException:
        video.unlink(missing_ok=True)
        raise
    index.metas.append(meta)
    index.complete = False
    return meta


_NAMES = {
    "control_timestep": "a control time step of",
    "action": "an action size of",
    "proprio": "a proprioception size of",
    "state": "a simulator state size of",
    "image": "a frame size of",
    "render": "render settings",
}


def _record(episode: EncodedEpisode, index: Index, number: int) -> Record:
    spec, rewards = episode.spec, episode.arrays["next.reward"]
    filmed = episode.video is not None
    meta = EpisodeMeta(
        index=len(index.metas),
        length=episode.length,
        start=index.frames,
        task=spec.task,
        seed=int(spec.seed),
        behaviour=spec.behaviour,
        protocol=spec.protocol,
        steps=spec.steps,
        return_=float(rewards.sum(dtype=float)),
        success=bool(success_flags(rewards, spec.protocol)[-1]),
        spec_hash=fingerprint(spec),
        data_hash=hash_arrays(episode.arrays),
        video_hash=fingerprint(episode.video) if filmed else None,
        data_file=number,
        video_file=number if filmed else None,
    )
    stats = {}
    if episode.levels is not None:
        stats[VIDEO_KEY] = image_stats(episode.levels, episode.length)
    return Record(meta, stats, episode.levels)
