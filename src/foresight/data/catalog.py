"""Which episodes a dataset folder holds, and the metadata made from them.

Commit protocol. An episode of ours is written as: video files, then data file, each renamed into
place whole. The data file's footer describes the episode, so its renaming is the commit. ``meta/``
is folded from these descriptions when a writer closes: episodes, tasks, stats and, last, info.
Whatever a killed writer leaves is one of:

- episodes *after* the folded ones, found by their file numbers and read from their footers;
- files that no episode refers to (a video without its data, temporary files): ignored by readers
  and removed by the next writer, if they are ours;
- a fold that was cut short, visible because info counts other episodes: done again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import read_json, write_json
from foresight.data.columns import read_arrays
from foresight.data.episodes import (
    LEVELS,
    EpisodeMeta,
    Record,
    episode_row,
    episodes_schema,
    metas_of,
    read_footer,
)
from foresight.data.features import Schema
from foresight.data.layout import (
    EPISODES_FOLDER,
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    data_files,
    episode_files,
    is_dataset,
    number_of,
    temporary_files,
    video_files,
)
from foresight.data.legacy import legacy_metas
from foresight.data.stats import image_stats, numeric_stats
from foresight.data.tables import parquet_errors, write_parquet

ROWS_AT_ONCE = 500
HEAVY = ("stats/", LEVELS)


@dataclass
class Index:
    """The episodes of a folder.

    Attributes:
        schema: what is equal for all.
        metas: all episodes in order, folded ones first.
        folded: number of episodes in ``meta/episodes``.
        complete: whether everything in ``meta/`` is up to date.
        orphans: files in our layout that belong to no episode.
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
        """Tasks in order of their first episode; for ours the place is the ``task_index``."""
        return list(dict.fromkeys(task for meta in self.metas for task in meta.tasks))

    @property
    def own(self) -> bool:
        """Whether this package wrote everything in the folder."""
        return self.schema.own and all(meta.own for meta in self.metas)

    def task_index(self, task: str) -> int:
        """Number of a task, a new one if it has not occurred yet."""
        tasks = self.tasks
        return tasks.index(task) if task in tasks else len(tasks)


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
    if index.schema.version.startswith("v2"):
        index.metas = legacy_metas(root, index.schema)
        index.folded, index.complete = len(index.metas), True
        return index
    rows = _rows(root)
    if rows is None and info.get("total_episodes"):
        raise ForesightError(
            f"{root / EPISODES_PATH} does not exist although {INFO_PATH} counts "
            f"{info['total_episodes']} episodes: copy it again, or run `foresight data repair`."
        )
    with parquet_errors(root / EPISODES_FOLDER):
        index.metas = metas_of(rows or [], index.schema)
    index.folded = len(index.metas)
    if index.schema.own:
        _add_tail(root, index)
    index.complete = (
        index.folded == len(index.metas) == info.get("total_episodes")
        and info.get("total_frames") == index.frames
        and (root / STATS_PATH).is_file()
        and (root / TASKS_PATH).is_file()
    )
    return index


def read_episodes(root: Path) -> pa.Table | None:
    """The whole table in ``meta/episodes`` of ours, None if there is none."""
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
    write_parquet(root / TASKS_PATH, tasks_table(index.tasks))
    write_json(root / STATS_PATH, _dataset_stats(root, index, table))
    write_info(root, index)
    index.folded, index.complete = len(index.metas), True


def write_info(root: Path, index: Index, folded: bool = True) -> None:
    """Write ``info.json``, counting either all episodes or none."""
    episodes, frames, tasks = len(index.metas), index.frames, len(index.tasks)
    if not folded:
        episodes = frames = tasks = 0
    write_json(root / INFO_PATH, index.schema.to_info(episodes, frames, tasks))


def table_of(records: list[Record], schema: Schema) -> pa.Table:
    """Records as rows of ``meta/episodes``."""
    rows = [episode_row(record, schema) for record in records]
    return pa.Table.from_pylist(rows, episodes_schema(schema))


def next_file(root: Path, index: Index) -> int:
    """A file number above all that are in use, by whatever program."""
    used = [-1, *data_files(root), *(meta.number or 0 for meta in index.metas)]
    for path in video_files(root):
        used.append(_number(path))
    for meta in index.metas:
        used += [_number(video.path) for video in meta.videos.values()]
    return max(used) + 1


def tasks_table(tasks: list[str]) -> pa.Table:
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


def _rows(root: Path) -> list[dict[str, Any]] | None:
    """The light columns of all rows of ``meta/episodes``, by any program; None without a file."""
    files = episode_files(root)
    if not files:
        return None
    rows: list[dict[str, Any]] = []
    for path in files:
        with parquet_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
            names = [n for n in file.schema_arrow.names if not n.startswith(HEAVY)]
            rows += file.read(columns=names).to_pylist()
    return sorted(rows, key=lambda row: row["episode_index"])


def _add_tail(root: Path, index: Index) -> None:
    """Append the episodes that were committed after the last fold, and list the orphans."""
    referenced = {meta.data for meta in index.metas}
    last = max((meta.number or 0 for meta in index.metas), default=-1)
    for number, path in data_files(root).items():
        name = str(path.relative_to(root))
        if name in referenced:
            continue
        if number < last:
            index.orphans.append(path)
            continue
        try:
            record, schema = read_footer(path)
        except ForesightError:  # another program's, or damaged: no episode that we know of
            index.orphans.append(path)
            continue
        meta = record.meta
        if meta.index < len(index.metas):  # what an interrupted repair had begun to write
            index.orphans.append(path)
            continue
        if meta.index > len(index.metas) or schema != index.schema or meta.data != name:
            raise ForesightError(
                f"{path} holds episode {meta.index} but episode {len(index.metas)} is expected "
                "next, so a file is missing or misplaced: run `foresight data repair`."
            )
        index.metas.append(meta)
    videos = {video.path for meta in index.metas for video in meta.videos.values()}
    strangers = [path for path in video_files(root) if str(path.relative_to(root)) not in videos]
    index.orphans += strangers + temporary_files(root)


def _episodes_table(root: Path, index: Index) -> pa.Table:
    """The table of all episodes: the folded rows as they are, the others from their footers."""
    schema = episodes_schema(index.schema)
    folded = read_episodes(root)
    parts = [] if folded is None else [folded.cast(schema)]
    tail = index.metas[index.folded :]
    for first in range(0, len(tail), ROWS_AT_ONCE):
        paths = [root / meta.data for meta in tail[first : first + ROWS_AT_ONCE]]
        parts.append(table_of([read_footer(path)[0] for path in paths], index.schema))
    # One chunk, so that the file's bytes do not depend on how many runs wrote it.
    return pa.concat_tables(parts).combine_chunks() if parts else schema.empty_table()


def _dataset_stats(root: Path, index: Index, table: pa.Table) -> dict[str, Any]:
    """Exact statistics over all steps; a dataset without episodes has none."""
    if not index.metas:
        return {}
    columns = read_arrays(root, index.metas, list(index.schema.columns()), index.schema)
    found: dict[str, Any] = {}
    for name in list(columns):  # one at a time, to keep one double precision copy and not all
        found |= numeric_stats({name: columns.pop(name)})
    for key in index.schema.cameras.values():
        rows = table[LEVELS + key].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        levels = rows.reshape(len(table), 3, -1).sum(axis=0)
        found[key] = image_stats(levels, index.frames)
    return found


def _number(path: Path | str) -> int:
    number = number_of(path)
    return -1 if number is None else number
