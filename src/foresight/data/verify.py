"""Compare the files of our own episodes with what they should hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, read_json
from foresight.data.catalog import Index, read_episodes
from foresight.data.columns import first_not_finite, read_arrays
from foresight.data.encoding import hash_arrays
from foresight.data.episodes import EpisodeMeta, episodes_schema, place_columns, read_footer
from foresight.data.features import PLACES, Schema
from foresight.data.layout import EPISODES_PATH, INFO_PATH, STATS_PATH, TASKS_PATH, data_files
from foresight.data.recording import place_arrays
from foresight.data.stats import NAMES
from foresight.data.tables import parquet_errors


def content_problems(root: Path, meta: EpisodeMeta, schema: Schema) -> list[str]:
    """What cannot be mended about an episode of ours: damaged or missing steps or frames."""
    found = []
    try:
        _check_data(root, meta, schema)
    except ForesightError as error:
        found.append(str(error))
    for video in meta.videos.values():
        path = root / video.path
        if not path.is_file():
            found.append(f"{path} does not exist.")
        elif file_fingerprint(path) != video.hash:
            size = path.stat().st_size
            found.append(f"{path} is damaged or cut short ({size} bytes, wrong hash).")
    return found


def place_problems(root: Path, meta: EpisodeMeta, index: Index) -> list[str]:
    """What a rewrite would mend: columns and footers that do not fit the episode's place.

    Only for an episode of ours without ``content_problems``.
    """
    path = root / meta.data
    columns = read_arrays(root, [meta], list(PLACES), index.schema)
    tasks = np.full(meta.length, index.task_index(meta.task), np.int64)
    found = []
    for name, values in place_arrays(meta, index.schema.rate, tasks).items():
        differs = columns[name] != values
        if differs.any():
            step = int(np.argmax(differs))
            found.append(
                f"{path} has {name} {columns[name][step]} at step {step} but {values[step]} is "
                "expected."
            )
    try:
        if read_footer(path)[0].meta != meta:
            found.append(f"{path} describes its episode otherwise than the metadata do.")
    except ForesightError as error:
        found.append(str(error))
    return found


def meta_problems(root: Path, index: Index) -> list[str]:
    """What is wrong in ``meta/`` of a dataset of ours, given the episodes that there are."""
    if not (root / INFO_PATH).is_file():
        return [f"{root / INFO_PATH} does not exist."]
    if not index.metas and not (root / EPISODES_PATH).is_file():
        return []  # a dataset whose first episode is still to come
    found = []
    for check in (_check_info, _check_episodes, _check_tasks, _check_stats):
        try:
            found += check(root, index)
        except ForesightError as error:
            found.append(str(error))
    return found


def survey(root: Path) -> Index:
    """The episodes that the data files of ours describe, for a folder with damaged metadata.

    Raises:
        ForesightError: not one data file describes itself.
    """
    found: list[tuple[EpisodeMeta, Schema]] = []
    for path in data_files(root).values():
        try:
            record, schema = read_footer(path)
        except ForesightError:
            continue
        if root / record.meta.data == path:
            found.append((record.meta, schema))
    if not found:
        raise ForesightError(
            f"No data file in {root} describes its episode, so the metadata cannot be made again "
            "from them: copy the folder meta again from where the dataset came from."
        )
    names = Counter(repr(schema) for _, schema in found)
    name = names.most_common(1)[0][0]
    index = Index(next(schema for _, schema in found if repr(schema) == name))
    seen = set()
    for meta, schema in sorted(found, key=lambda pair: (pair[0].index, pair[0].number or 0)):
        # An interrupted repair leaves an episode twice, both with the same videos.
        identity = (meta.data_hash, *sorted(video.path for video in meta.videos.values()))
        if repr(schema) == name and (identity not in seen or not meta.videos):
            seen.add(identity)
            index.metas.append(meta)
    return index


def _check_data(root: Path, meta: EpisodeMeta, schema: Schema) -> None:
    path = root / meta.data
    with parquet_errors(path), pq.ParquetFile(path) as file:
        groups, arrow = file.num_row_groups, file.schema_arrow.remove_metadata()
    if not arrow.equals(schema.arrow()):
        wanted = {field.name: field.type for field in schema.arrow()}
        present = {field.name: field.type for field in arrow}
        differing = [
            f"{name} is {present.get(name, 'missing')} instead of {kind}"
            for name, kind in wanted.items()
            if present.get(name) != kind
        ]
        raise ForesightError(f"{path}: {', '.join(differing) or 'the columns are in disorder'}.")
    if groups != 1:
        raise ForesightError(f"{path} has {groups} row groups but one is expected.")
    stored = [name for name in schema.columns() if name not in PLACES]
    arrays = read_arrays(root, [meta], stored, schema)
    if hash_arrays(arrays) == meta.data_hash:
        return
    for name, values in arrays.items():
        words = first_not_finite(name, values, [meta], schema)
        if words is not None and not name.startswith("action."):
            raise ForesightError(f"{path}: {words}, which is not finite.")
    raise ForesightError(f"{path} does not hold the numbers that were written (wrong hash).")


def _check_info(root: Path, index: Index) -> list[str]:
    path = root / INFO_PATH
    written = read_json(path)
    expected = index.schema.to_info(len(index.metas), index.frames, len(index.tasks))
    return [
        f"{path} has {key} {written.get(key)!r} but {value!r} is expected."
        for key, value in expected.items()
        if written.get(key) != value
    ]


def _check_episodes(root: Path, index: Index) -> list[str]:
    """Compare the table with the episodes; its statistics are compared in their number only."""
    path = root / EPISODES_PATH
    table = read_episodes(root)
    if table is None:
        return [f"{path} does not exist."]
    wanted = episodes_schema(index.schema)
    if not table.schema.equals(wanted):
        return [f"{path} has other columns or types than a dataset of these features."]
    if len(table) != len(index.metas):
        return [f"{path} describes {len(table)} of {len(index.metas)} episodes."]
    rows = [place_columns(meta, index.schema.rate) for meta in index.metas]
    names = list(rows[0]) if rows else []
    for meta, row in zip(rows, table.select(names).to_pylist(), strict=True):
        for name, value in meta.items():
            if row[name] != value:
                return [
                    f"{path} has {name} {row[name]!r} for episode {meta['episode_index']} but "
                    f"{value!r} is expected."
                ]
    return []


def _check_tasks(root: Path, index: Index) -> list[str]:
    path = root / TASKS_PATH
    with parquet_errors(path):
        written = pq.read_table(path, columns=["task_index", "task"]).to_pylist()
    expected = [{"task_index": i, "task": task} for i, task in enumerate(index.tasks)]
    return [] if written == expected else [f"{path} has {written} but {expected} is expected."]


def _check_stats(root: Path, index: Index) -> list[str]:
    path = root / STATS_PATH
    written = read_json(path)
    if not index.metas:
        return []
    names = list(index.schema.features)
    missing = [n for n in names if set(written.get(n, {})) != set(NAMES)]
    if missing:
        return [f"{path} lacks statistics of {', '.join(missing)}."]
    counts = {n: written[n]["count"] for n in names if written[n]["count"] != [index.frames]}
    return [f"{path} counts {n} {c} times, not {index.frames}." for n, c in counts.items()]
