"""Which episodes a dataset folder holds, and the metadata made from them.

Commit protocol. An episode is written as: video file, then data file, each renamed into place
whole. The data file's footer describes the episode, so its renaming is the commit. ``meta/`` is
folded from these descriptions when a writer closes: episodes, tasks, stats and, last, info.
Whatever a killed writer leaves is one of:

- episodes *after* the folded ones, found by their file numbers and read from their footers;
- files that no episode refers to (a video without its data, temporary files): ignored by readers
  and removed by the next writer;
- a fold that was cut short, visible because info counts other episodes: done again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, read_json, write_json
from foresight.data.records import (
    LEVELS_COLUMN,
    Record,
    episode_row,
    episodes_schema,
    metas_of,
    parquet_errors,
    read_columns,
    read_footer,
)
from foresight.data.schema import (
    CHUNKS_SIZE,
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    VIDEO_KEY,
    EpisodeMeta,
    Schema,
    data_path,
    numbered_files,
    temporary_files,
)
from foresight.data.stats import image_stats, numeric_stats

ROWS_AT_ONCE = 500
VECTORS = ("action", "observation.state", "sim.state")  # two axes, also with one value a step


@dataclass
class Index:
    """The episodes of a folder.

    Attributes:
        schema: what is equal for all.
        metas: all episodes in order, folded ones first.
        folded: number of episodes in ``meta/episodes``.
        complete: whether everything in ``meta/`` is up to date.
        orphans: files that belong to no episode.
    """

    schema: Schema
    metas: list[EpisodeMeta] = field(default_factory=list)
    folded: int = 0
    complete: bool = False
    orphans: list[Path] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """Number of steps of all episodes."""
        return self.metas[-1].start + self.metas[-1].length if self.metas else 0

    @property
    def tasks(self) -> list[str]:
        """Task ids in order of their first episode; the place is the ``task_index``."""
        return list(dict.fromkeys(meta.task for meta in self.metas))

    def task_index(self, task: str) -> int:
        """Number of a task, a new one if it has not occurred yet."""
        tasks = self.tasks
        return tasks.index(task) if task in tasks else len(tasks)


def is_dataset(root: Path) -> bool:
    """Whether ``root`` holds a dataset, be it empty or damaged."""
    return (root / INFO_PATH).is_file() or bool(numbered_files(root, "data"))


def load_index(root: Path) -> Index:
    """Read what ``root`` holds, changing nothing.

    Raises:
        ForesightError: no dataset, or its metadata or a later episode is damaged.
    """
    if not is_dataset(root):
        raise ForesightError(
            f"{root} is not a dataset (it has no {INFO_PATH}): pass the folder of one, or collect "
            "one there."
        )
    info = read_json(root / INFO_PATH)
    index = Index(Schema.from_info(info, root / INFO_PATH))
    table = read_episodes(root)
    if table is not None:
        with parquet_errors(root / EPISODES_PATH):
            index.metas = metas_of(table, info.get("chunks_size", CHUNKS_SIZE))
        index.folded = len(index.metas)
    elif info.get("total_episodes"):
        raise ForesightError(
            f"{root / EPISODES_PATH} does not exist although {INFO_PATH} counts "
            f"{info['total_episodes']} episodes: run `foresight data repair`."
        )
    _add_tail(root, index)
    index.complete = (
        index.folded == len(index.metas) == info.get("total_episodes")
        and info.get("total_frames") == index.frames
        and (root / STATS_PATH).is_file()
        and (root / TASKS_PATH).is_file()
    )
    return index


def read_episodes(root: Path) -> pa.Table | None:
    """The table in ``meta/episodes``, None if there is none."""
    path = root / EPISODES_PATH
    if not path.exists():
        return None
    with parquet_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read()


def fold(root: Path, index: Index) -> None:
    """Bring ``meta/`` up to date with the episodes of ``index``.

    Raises:
        ForesightError: a data file is damaged, the disk is full or the folder read-only.
    """
    table = _episodes_table(root, index)
    write_meta(root, index, table)


def write_meta(root: Path, index: Index, table: pa.Table) -> None:
    """Write ``meta/`` from the table of all episodes; info last, for it ends the fold."""
    write_parquet(root / EPISODES_PATH, table)
    write_parquet(root / TASKS_PATH, _tasks_table(index.tasks))
    write_json(root / STATS_PATH, _dataset_stats(root, index, table))
    write_info(root, index)
    index.folded, index.complete = len(index.metas), True


def write_info(root: Path, index: Index, folded: bool = True) -> None:
    """Write ``info.json``, counting either all episodes or none."""
    episodes, frames, tasks = len(index.metas), index.frames, len(index.tasks)
    if not folded:
        episodes = frames = tasks = 0
    write_json(root / INFO_PATH, index.schema.info(episodes, frames, tasks))


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a small table atomically, as one row group with checksums."""

    def write(temporary: Path) -> None:
        pq.write_table(
            table, temporary, row_group_size=max(1, len(table)), write_page_checksum=True
        )

    atomic_write(path, write)


def table_of(records: list[Record], schema: Schema) -> pa.Table:
    """Records as rows of ``meta/episodes``."""
    rows = [episode_row(record, schema) for record in records]
    return pa.Table.from_pylist(rows, episodes_schema(schema))


def read_arrays(
    root: Path, metas: list[EpisodeMeta], names: list[str], schema: Schema
) -> dict[str, np.ndarray]:
    """Columns of episodes one after the other, ``[N]`` or ``[N, D]``; each file is opened once.

    Raises:
        ForesightError: a data file is missing, damaged or holds other steps than described.
    """
    total = sum(meta.length for meta in metas)
    found = {name: _empty_column(name, total, schema) for name in names}
    first = 0
    for meta in metas:
        path = data_path(root, meta.data_file)
        columns = read_columns(path, names)
        for name, out in found.items():
            values = columns.get(name, np.empty(0))
            if len(values) != meta.length or values.dtype != out.dtype:
                raise ForesightError(
                    f"{path} holds {len(values)} {values.dtype} steps of {name} but {meta.length} "
                    f"{out.dtype} are expected: run `foresight data repair` to drop the episode."
                )
            out[first : first + meta.length] = values.reshape(meta.length, *out.shape[1:])
        first += meta.length
    return found


def next_file(metas: list[EpisodeMeta]) -> int:
    """A file number above all that are in use."""
    used = [-1]
    for meta in metas:
        used += [meta.data_file, -1 if meta.video_file is None else meta.video_file]
    return max(used) + 1


def _add_tail(root: Path, index: Index) -> None:
    """Append the episodes that were committed after the last fold, and list the orphans."""
    referenced = {meta.data_file for meta in index.metas}
    last = max(referenced, default=-1)
    for number, path in numbered_files(root, "data").items():
        if number in referenced:
            continue
        if number < last:
            index.orphans.append(path)
            continue
        record, schema = read_footer(path)
        meta = record.meta
        if meta.index < len(index.metas):  # what an interrupted repair had begun to write
            index.orphans.append(path)
            continue
        if meta.index > len(index.metas) or schema != index.schema or meta.data_file != number:
            raise ForesightError(
                f"{path} holds episode {meta.index} but episode {len(index.metas)} is expected "
                "next, so a file is missing or misplaced: run `foresight data repair`."
            )
        index.metas.append(meta)
    videos = {meta.video_file for meta in index.metas}
    strangers = [p for n, p in numbered_files(root, "video").items() if n not in videos]
    index.orphans += strangers + temporary_files(root)


def _episodes_table(root: Path, index: Index) -> pa.Table:
    """The table of all episodes: the folded rows as they are, the others from their footers."""
    schema = episodes_schema(index.schema)
    folded = read_episodes(root)
    parts = [] if folded is None else [folded.cast(schema)]
    tail = index.metas[index.folded :]
    for first in range(0, len(tail), ROWS_AT_ONCE):
        paths = [data_path(root, meta.data_file) for meta in tail[first : first + ROWS_AT_ONCE]]
        parts.append(table_of([read_footer(path)[0] for path in paths], index.schema))
    # One chunk, so that the file's bytes do not depend on how many runs wrote it.
    return pa.concat_tables(parts).combine_chunks() if parts else schema.empty_table()


def _dataset_stats(root: Path, index: Index, table: pa.Table) -> dict[str, Any]:
    """Exact statistics over all steps; a dataset without episodes has none."""
    if not index.metas:
        return {}
    names = list(index.schema.numeric_features())
    columns = read_arrays(root, index.metas, names, index.schema)
    found: dict[str, Any] = {}
    for name in names:  # one at a time, to keep one double precision copy and not all
        found |= numeric_stats({name: columns.pop(name)})
    if index.schema.image is not None:
        rows = table[LEVELS_COLUMN].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        levels = rows.reshape(len(table), 3, -1).sum(axis=0)
        found[VIDEO_KEY] = image_stats(levels, index.frames)
    return found


def _tasks_table(tasks: list[str]) -> pa.Table:
    """``meta/tasks.parquet``: as pandas writes it with the task as index, which LeRobot reads."""
    columns = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {"name": n, "field_name": n, "pandas_type": p, "numpy_type": t, "metadata": None}
            for n, p, t in columns
        ],
        "pandas_version": "2.0.0",
    }
    fields = [pa.field("task_index", pa.int64()), pa.field("task", pa.string())]
    schema = pa.schema(fields, metadata={b"pandas": json.dumps(pandas).encode()})
    return pa.table([list(range(len(tasks))), tasks], schema=schema)


def _empty_column(name: str, total: int, schema: Schema) -> np.ndarray:
    feature = schema.numeric_features()[name]
    shape = (total, *feature["shape"]) if name in VECTORS else (total,)
    return np.empty(shape, feature["dtype"])
