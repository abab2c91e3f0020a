"""Take episodes out of a dataset that another program wrote, without losing a byte of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.files import disk_errors, read_json, write_json
from foresight.data.catalog import Index, table_of
from foresight.data.episodes import EpisodeMeta, read_footer
from foresight.data.layout import EPISODES_PATH, REMOVED, episode_files, place
from foresight.data.tables import RowReader, parquet_errors, write_parquet

META, FRESH = "meta", "meta.new"
Moves = Sequence[tuple[EpisodeMeta, EpisodeMeta]]


def rewrite_rows(root: Path, meta: EpisodeMeta, goal: EpisodeMeta) -> None:
    """Copy an episode's rows into a file of their own, with the numbers of their new place."""
    with RowReader(root / meta.data) as reader:
        table = reader.episode(meta.index, meta.length, reader.names)
    steps = np.arange(goal.length, dtype=np.int64)
    values = {"episode_index": np.full(goal.length, goal.index), "index": goal.start + steps}
    for name, column in values.items():
        if name in table.column_names:
            at = table.column_names.index(name)
            field = table.schema.field(at)
            table = table.set_column(at, field, pa.array(column).cast(field.type))
    write_parquet(root / goal.data, table.combine_chunks())


def swap_meta(root: Path, index: Index, moves: Moves) -> None:
    """Put new metadata in the place of the old ones, which move to ``removed``.

    The new folder is made in full beside the old one; :func:`finish_swap` ends what was cut short.
    """
    fresh = root / FRESH
    with disk_errors(root):
        shutil.rmtree(fresh, ignore_errors=True)  # half made by a killed repair
        shutil.copytree(root / META, fresh, ignore=shutil.ignore_patterns("episodes", ".*.tmp"))
    table = _table(root, index, moves)
    write_parquet(fresh / EPISODES_PATH.removeprefix("meta/"), table)
    stats = aggregate(table)
    if stats:
        write_json(fresh / "stats.json", stats)
    info = read_json(fresh / "info.json")
    info |= {"total_episodes": len(index.metas), "total_frames": index.frames}
    info["splits"] = {"train": f"0:{len(index.metas)}"}
    write_json(fresh / "info.json", info)
    (fresh / "ready").touch()
    finish_swap(root)


def finish_swap(root: Path) -> None:
    """Exchange the metadata, if new ones lie ready."""
    fresh = root / FRESH
    if not (fresh / "ready").exists():
        return
    with disk_errors(root):
        if (root / META).exists():
            count, goal = 0, root / REMOVED / META
            goal.parent.mkdir(exist_ok=True)
            while goal.exists():
                count += 1
                goal = root / REMOVED / f"{META}.{count}"
            os.replace(root / META, goal)
        os.replace(fresh, root / META)
        (root / META / "ready").unlink()


def aggregate(table: pa.Table) -> dict[str, Any]:
    """Statistics of a whole dataset from those of its episodes, as LeRobot joins them.

    Quantiles are means of the episodes' quantiles, weighted by their length.
    """
    features = dict.fromkeys(
        name.removeprefix("stats/").rpartition("/")[0]
        for name in table.column_names
        if name.startswith("stats/")
    )
    found: dict[str, Any] = {}
    for feature in features:
        prefix = f"stats/{feature}/"
        columns = {
            name.removeprefix(prefix): table[name].to_pylist()
            for name in table.column_names
            if name.startswith(prefix) and name.removeprefix(prefix).find("/") < 0
        }
        if not {"min", "max", "mean", "std", "count"} <= set(columns):
            continue
        if any(value is None for values in columns.values() for value in values):
            continue
        found[feature] = _joined({k: np.array(v, np.float64) for k, v in columns.items()})
    return found


def _joined(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    count = columns["count"].reshape(len(columns["count"]), -1)[:, 0]
    weight = (count / count.sum()).reshape(-1, *[1] * (columns["mean"].ndim - 1))
    mean = (columns["mean"] * weight).sum(0)
    variance = ((columns["std"] ** 2 + (columns["mean"] - mean) ** 2) * weight).sum(0)
    joined = {
        "min": columns["min"].min(0),
        "max": columns["max"].max(0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([int(count.sum())]),
    }
    joined |= {k: (v * weight).sum(0) for k, v in columns.items() if k.startswith("q")}
    return {name: value.tolist() for name, value in joined.items()}


def _table(root: Path, index: Index, moves: Moves) -> pa.Table:
    """The rows of ``meta/episodes`` of all programs, with the places that the episodes have now."""
    parts = []
    for path in episode_files(root):
        with parquet_errors(path):
            parts.append(pq.read_table(path))
    known = {row for part in parts for row in part["episode_index"].to_pylist()}
    tail = [old for old, _ in moves if old.own and old.index not in known]
    if tail:
        parts.append(table_of([read_footer(root / old.data)[0] for old in tail], index.schema))
    table = pa.concat_tables(parts, promote_options="permissive")
    rows = {number: i for i, number in enumerate(table["episode_index"].to_pylist())}
    table = table.take([rows[old.index] for old, _ in moves])
    news = [new for _, new in moves]
    places = [place(new.number or 0) for new in news]
    values: dict[str, list[int]] = {
        "episode_index": [new.index for new in news],
        "dataset_from_index": [new.start for new in news],
        "dataset_to_index": [new.start + new.length for new in news],
        "meta/episodes/chunk_index": [0] * len(news),
        "meta/episodes/file_index": [0] * len(news),
    }
    # Files that stay keep their numbers as their writer counted them.
    for at, name in enumerate(("data/chunk_index", "data/file_index")):
        stays = table[name].to_pylist()
        values[name] = [
            stays[i] if old.data == new.data else places[i][at]
            for i, (old, new) in enumerate(moves)
        ]
    for name, column in values.items():
        if name in table.column_names:
            at = table.column_names.index(name)
            table = table.set_column(at, name, pa.array(column, pa.int64()))
    return table.combine_chunks()
