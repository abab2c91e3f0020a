"""Compare the files of a dataset with what they should hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, read_json
from foresight.data.index import Index, read_episodes
from foresight.data.records import (
    STORED,
    columns_of,
    episodes_schema,
    hash_arrays,
    parquet_errors,
    place_columns,
    read_columns,
    read_footer,
)
from foresight.data.schema import (
    EPISODES_PATH,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    EpisodeMeta,
    Schema,
    data_path,
    numbered_files,
    video_path,
)
from foresight.data.stats import NAMES
from foresight.data.video import decode_video


def content_problems(root: Path, meta: EpisodeMeta, schema: Schema) -> list[str]:
    """What cannot be mended about an episode: damaged or missing steps or frames."""
    found = []
    try:
        _check_data(data_path(root, meta.data_file), meta, schema)
    except ForesightError as error:
        found.append(str(error))
    if meta.video_file is not None:
        path = video_path(root, meta.video_file)
        if not path.is_file():
            found.append(f"{path} does not exist.")
        elif file_fingerprint(path) != meta.video_hash:
            size = path.stat().st_size
            found.append(f"{path} is damaged or cut short ({size} bytes, wrong hash).")
    return found


def place_problems(root: Path, meta: EpisodeMeta, index: Index) -> list[str]:
    """What a rewrite would mend: columns and footers that do not fit the episode's place.

    Only for an episode without ``content_problems``.
    """
    path = data_path(root, meta.data_file)
    columns = read_columns(path)
    expected = columns_of(columns, meta, index.task_index(meta.task), index.schema.fps)
    found = []
    for name, values in expected.items():
        differs = columns[name] != values
        if differs.any():
            step = int(np.argmax(differs.reshape(len(differs), -1).any(axis=1)))
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


def video_problems(root: Path, meta: EpisodeMeta, schema: Schema) -> list[str]:
    """What decoding every frame of an episode brings to light."""
    if meta.video_file is None or schema.image is None:
        return []
    try:
        decode_video(video_path(root, meta.video_file), meta.length, *schema.image)
    except ForesightError as error:
        return [str(error)]
    return []


def meta_problems(root: Path, index: Index) -> list[str]:
    """What is wrong in ``meta/``, given the episodes that there are."""
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
    """The episodes that the data files themselves describe, for a folder with damaged metadata.

    Raises:
        ForesightError: not one data file is readable.
    """
    found: list[tuple[EpisodeMeta, Schema]] = []
    for number, path in numbered_files(root, "data").items():
        try:
            record, schema = read_footer(path)
        except ForesightError:
            continue
        if record.meta.data_file == number:
            found.append((record.meta, schema))
    if not found:
        raise ForesightError(
            f"Nothing in {root} can be rescued, no data file is readable: collect it again."
        )
    names = Counter(repr(schema) for _, schema in found)
    name = names.most_common(1)[0][0]
    index = Index(next(schema for _, schema in found if repr(schema) == name))
    seen = set()
    for meta, schema in sorted(found, key=lambda pair: (pair[0].index, pair[0].data_file)):
        # An interrupted repair leaves an episode twice, both with the same video.
        identity = (meta.spec_hash, meta.data_hash, meta.video_file)
        if repr(schema) == name and (identity not in seen or meta.video_file is None):
            seen.add(identity)
            index.metas.append(meta)
    return index


def _check_data(path: Path, meta: EpisodeMeta, schema: Schema) -> None:
    with parquet_errors(path), pq.ParquetFile(path) as file:
        groups, arrow = file.num_row_groups, file.schema_arrow.remove_metadata()
    if not arrow.equals(schema.data_schema()):
        wanted = {field.name: field.type for field in schema.data_schema()}
        present = {field.name: field.type for field in arrow}
        differing = [
            f"{name} is {present.get(name, 'missing')} instead of {kind}"
            for name, kind in wanted.items()
            if present.get(name) != kind
        ]
        raise ForesightError(f"{path}: {', '.join(differing) or 'the columns are in disorder'}.")
    if groups != 1:
        raise ForesightError(f"{path} has {groups} row groups but one is expected.")
    columns = read_columns(path)
    length = len(columns["index"])
    if length != meta.length:
        raise ForesightError(f"{path} has {length} steps but {meta.length} are expected.")
    arrays = {name: columns[name] for name in STORED}
    for name in ("action", "observation.state", "sim.state"):
        arrays[name] = arrays[name].reshape(length, -1)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ForesightError(f"{path} has a value in {name} that is not finite.")
    if hash_arrays(arrays) != meta.data_hash:
        raise ForesightError(f"{path} does not hold the numbers that were written (wrong hash).")


def _check_info(root: Path, index: Index) -> list[str]:
    path = root / INFO_PATH
    written = read_json(path)
    expected = index.schema.info(len(index.metas), index.frames, len(index.tasks))
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
    rows = [place_columns(meta, index.schema) for meta in index.metas]
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
    names = list(index.schema.features())
    missing = [n for n in names if set(written.get(n, {})) != set(NAMES)]
    if missing:
        return [f"{path} lacks statistics of {', '.join(missing)}."]
    counts = {n: written[n]["count"] for n in names if written[n]["count"] != [index.frames]}
    return [f"{path} counts {n} {c} times, not {index.frames}." for n, c in counts.items()]
