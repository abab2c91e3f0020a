"""Mend a dataset: keep every whole episode, drop the rest, make the metadata again.

Nothing is overwritten. Episodes that move get new files behind the old ones; the old ones go when
the metadata no longer refer to them. A repair that is killed can be run again.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, write_bytes
from foresight.data.index import Index, is_dataset, load_index, next_file, table_of, write_meta
from foresight.data.records import Record, columns_of, data_bytes, read_columns, read_footer
from foresight.data.schema import (
    VIDEO_KEY,
    EpisodeMeta,
    Schema,
    data_path,
    numbered_files,
    temporary_files,
    video_path,
)
from foresight.data.stats import histogram, image_stats, numeric_stats
from foresight.data.verify import content_problems, meta_problems, place_problems, survey
from foresight.data.video import decode_video
from foresight.data.writing import FolderLock


def repair(path: Path | str) -> list[str]:
    """Drop damaged episodes and files without an episode, and make the metadata again.

    Args:
        path: the dataset's folder.

    Returns:
        What was done, one sentence each; empty if nothing had to be.

    Raises:
        ForesightError: no dataset, nothing in it can be rescued, it cannot be written, or another
            process is writing it.
    """
    root = Path(path)
    if not is_dataset(root):
        raise ForesightError(f"{root} is not a dataset: pass the folder of one.")
    lock = FolderLock(root)
    lock.take()
    try:
        return _repair(root)
    finally:
        lock.release()


def _repair(root: Path) -> list[str]:
    actions: list[str] = []
    try:
        old = load_index(root)
    except ForesightError as error:
        actions.append(f"Made the metadata again from the data files, because: {error}")
        old = survey(root)
    kept = _keep(root, old, actions)
    new = _renumber(root, kept, old, actions)
    if not actions and old.complete:
        problems = meta_problems(root, new)
        actions += [f"Made the metadata again, because: {problem}" for problem in problems]
    if actions or not old.complete:
        records = [read_footer(data_path(root, meta.data_file))[0] for meta in new.metas]
        write_meta(root, new, table_of(records, new.schema))
        if not actions:
            actions.append("Finished the metadata that a killed writer had left.")
    return actions + _remove_strangers(root, new)


def _keep(root: Path, index: Index, actions: list[str]) -> list[EpisodeMeta]:
    """The whole episodes; the others are named in ``actions``."""
    kept = []
    for meta in index.metas:
        problems = content_problems(root, meta, index.schema)
        if problems:
            actions.append(
                f"Dropped episode {meta.index} ({meta.task}, seed {meta.seed}): {problems[0]}"
            )
        else:
            kept.append(meta)
    return kept


def _renumber(root: Path, kept: list[EpisodeMeta], old: Index, actions: list[str]) -> Index:
    """Give the kept episodes consecutive places, rewriting the data files that this changes."""
    new = Index(old.schema)
    used = [*old.metas, *kept]
    free = max(next_file(used), max(numbered_files(root, "data"), default=-1) + 1)
    moved = 0
    for meta in kept:
        goal = replace(meta, index=len(new.metas), start=new.frames)
        # Readers of the format expect data files in the order of the episodes: once one has
        # moved to the end, all behind it follow.
        if moved or goal != meta or place_problems(root, goal, new):
            goal = replace(goal, data_file=free)
            _rewrite(root, meta, goal, new)
            free += 1
            moved += 1
        new.metas.append(goal)
    if moved:
        actions.append(f"Rewrote the data files of {moved} episodes for their new places.")
    return new


def _rewrite(root: Path, meta: EpisodeMeta, goal: EpisodeMeta, index: Index) -> None:
    source = data_path(root, meta.data_file)
    levels = None
    if meta.video_file is not None:
        levels = _levels(root, meta, index.schema)
    columns = columns_of(read_columns(source), goal, index.task_index(goal.task), index.schema.fps)
    stats = {} if levels is None else {VIDEO_KEY: image_stats(levels, goal.length)}
    record = Record(goal, stats | numeric_stats(columns), levels)
    write_bytes(data_path(root, goal.data_file), data_bytes(columns, record, index.schema))


def _levels(root: Path, meta: EpisodeMeta, schema: Schema) -> np.ndarray | None:
    """The colour histogram, from the footer or, where that is damaged, from the video."""
    try:
        return read_footer(data_path(root, meta.data_file))[0].levels
    except ForesightError:
        assert schema.image is not None and meta.video_file is not None
        return histogram(
            decode_video(video_path(root, meta.video_file), meta.length, *schema.image)
        )


def _remove_strangers(root: Path, index: Index) -> list[str]:
    """Remove files that no episode refers to."""
    data = {meta.data_file for meta in index.metas}
    videos = {meta.video_file for meta in index.metas}
    strangers = temporary_files(root)
    strangers += [p for n, p in numbered_files(root, "data").items() if n not in data]
    strangers += [p for n, p in numbered_files(root, "video").items() if n not in videos]
    with disk_errors(root):
        for path in strangers:
            path.unlink(missing_ok=True)
    return [f"Removed {len(strangers)} files that belong to no episode."] if strangers else []
