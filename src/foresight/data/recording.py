"""Putting one episode on disk, by the only process that may."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint, write_bytes
from foresight.core.observation import IMAGE_PREFIX, STATE_KEY
from foresight.core.spec import TOLERANCE, Spec
from foresight.data.catalog import Index
from foresight.data.encoding import EncodedEpisode
from foresight.data.episodes import EpisodeMeta, Record, VideoPlace, footer, read_footer
from foresight.data.features import ACTION, CODECS, PLACES, Schema, own_schema
from foresight.data.layout import data_file, temporary_files, video_file
from foresight.data.stats import image_stats, numeric_stats
from foresight.data.tables import to_arrow
from foresight.data.video import is_ours


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
    """Remove what a killed writer of ours left; only for the holder of the lock.

    A file that another program may have put there stays.
    """
    orphans = temporary_files(root) if index is None else index.orphans
    kept = []
    with disk_errors(root):
        for path in orphans:
            if is_leftover(path, [] if index is None else index.metas):
                path.unlink(missing_ok=True)
            else:
                kept.append(path)
    if index is not None:
        index.orphans = kept


def is_leftover(path: Path, metas: Sequence[EpisodeMeta]) -> bool:
    """Whether a file without an episode is ours and holds nothing that is not kept elsewhere."""
    if path.suffix == ".tmp":
        return True
    if path.suffix == ".mp4":
        return is_ours(path)
    try:
        found = read_footer(path)[0].meta
    except ForesightError:
        return False
    return any(meta.data_hash == found.data_hash and meta.data != found.data for meta in metas)


def expect_writable(spec: Spec, codec: str) -> None:
    """Refuse a spec or codec that no dataset can have.

    Raises:
        ForesightError: no action, a camera's name with a slash, or an unknown codec.
    """
    if codec not in CODECS:
        raise ForesightError(f"There is no codec {codec!r}: choose one of {', '.join(CODECS)}.")
    if not spec.action:
        raise ForesightError("A dataset needs an action of one number at least: name it.")
    wrong = [name for name in spec.cameras if not name or "/" in name]
    if wrong:
        raise ForesightError(f"A camera cannot be called {wrong[0]!r}: choose a name without /.")


def check_spec(episode: EncodedEpisode, spec: Spec, path: Path) -> None:
    """Refuse an episode that a spec does not describe.

    Raises:
        ForesightError: cameras, sizes, state, action or rate differ.
    """
    who = str(episode)
    if tuple(sorted(episode.sizes)) != tuple(sorted(spec.cameras)):
        raise ForesightError(
            f"{who} has the cameras {', '.join(episode.sizes) or 'none'} but {path} has "
            f"{', '.join(spec.cameras) or 'none'}: store it in another dataset."
        )
    for camera, size in episode.sizes.items():
        wanted = tuple(spec.cameras[camera])
        if size != wanted:
            raise ForesightError(
                f"{who} has frames of {size[0]}x{size[1]} pixels from camera {camera} but {path} "
                f"has {wanted[0]}x{wanted[1]}: store it in another dataset."
            )
    state = episode.arrays[STATE_KEY].shape[1] if STATE_KEY in episode.arrays else 0
    for what, found, axes in (
        ("action", episode.arrays[ACTION].shape[1], spec.action),
        ("state", state, spec.state),
    ):
        if found != len(axes):
            raise ForesightError(
                f"{who} has {found} numbers of {what} but {path} has {len(axes)}: store it in "
                "another dataset."
            )
    if abs(episode.fps - spec.fps) > TOLERANCE * spec.fps:
        raise ForesightError(
            f"{who} has {episode.fps:g} steps a second but {path} has {spec.fps:g}: store it in "
            "another dataset."
        )


def check_columns(episode: EncodedEpisode, schema: Schema, path: Path) -> None:
    """Refuse an episode with other columns or another codec than those before it.

    Raises:
        ForesightError: names, types, shapes or codec differ.
    """
    if episode.codec != schema.codec:
        raise ForesightError(
            f"{episode} was encoded as {episode.codec} but {path} has {schema.codec}: encode it so."
        )
    fresh = own_schema(schema.spec, episode.arrays, episode.codec).columns()
    known = schema.columns()
    for name in [*known, *fresh]:
        if name not in fresh or name not in known:
            one, other = (path, episode) if name in known else (episode, path)
            raise ForesightError(
                f"{one} has the column {name} and {other} has not: episodes of one dataset have "
                "the same columns."
            )
        if (fresh[name].dtype, fresh[name].shape) != (known[name].dtype, known[name].shape):
            raise ForesightError(
                f"{episode} has {name} as {fresh[name].dtype} {list(fresh[name].shape)} but {path} "
                f"as {known[name].dtype} {list(known[name].shape)}: convert it."
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
    tasks = np.full(meta.length, index.task_index(meta.task), np.int64)
    columns = episode.arrays | place_arrays(meta, index.schema.rate, tasks)
    record.stats |= numeric_stats(columns)
    content = data_bytes(columns, record, index.schema)
    written: list[Path] = []
    try:
        for camera, video in episode.videos.items():
            path = root / meta.videos[IMAGE_PREFIX + camera].path
            write_bytes(path, video)
            written.append(path)
        write_bytes(root / meta.data, content)  # commits the episode
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        raise
    index.metas.append(meta)
    index.complete = False
    return meta


def place_arrays(meta: EpisodeMeta, rate: float, tasks: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that follow from an episode's place, and its ``task_index``."""
    steps = np.arange(meta.length, dtype=np.int64)
    values: dict[str, np.ndarray] = {
        "timestamp": (steps / rate).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(meta.length, meta.index, np.int64),
        "index": meta.start + steps,
        "task_index": tasks,
    }
    return {name: values[name] for name in PLACES}


def data_bytes(columns: dict[str, np.ndarray], record: Record, schema: Schema) -> bytes:
    """The data file of an episode: one row group, checksummed pages, the record in its footer."""
    features, arrow = schema.columns(), schema.arrow()
    arrays = [to_arrow(columns[name], feature) for name, feature in features.items()]
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, arrow, compression="snappy", write_page_checksum=True) as writer:
        writer.write_table(pa.table(arrays, schema=arrow), row_group_size=record.meta.length)
        writer.add_key_value_metadata({"foresight": footer(record, schema)})
    return buffer.getvalue()


def _record(episode: EncodedEpisode, index: Index, number: int) -> Record:
    videos = {
        IMAGE_PREFIX + camera: VideoPlace(
            video_file(IMAGE_PREFIX + camera, number), 0, fingerprint(video)
        )
        for camera, video in episode.videos.items()
    }
    meta = EpisodeMeta(
        index=len(index.metas),
        length=episode.length,
        start=index.frames,
        tasks=(episode.task,),
        data=data_file(number),
        videos=videos,
        return_=episode.return_,
        success=episode.success,
        terminated=episode.terminated,
        info=dict(episode.info),
        data_hash=episode.hash(),
    )
    levels = {IMAGE_PREFIX + camera: counts for camera, counts in episode.levels.items()}
    stats = {key: image_stats(counts, episode.length) for key, counts in levels.items()}
    return Record(meta, stats, levels)
