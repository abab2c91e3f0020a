"""Mend a dataset: keep every whole episode, take the rest out, make the metadata again.

Nothing is overwritten and nothing of another program is deleted. Episodes that move get new data
files behind the old ones; what is taken out moves to the folder ``removed`` when the metadata no
longer refer to it. A repair that is killed can be run again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, write_bytes
from foresight.data.catalog import Index, load_index, next_file, table_of, write_meta
from foresight.data.columns import read_arrays
from foresight.data.dataset import Dataset
from foresight.data.episodes import EpisodeMeta, Record, read_footer
from foresight.data.features import LOSSLESS, Schema
from foresight.data.foreign import finish_swap, rewrite_rows, swap_meta
from foresight.data.inspection import inspect
from foresight.data.layout import (
    REMOVED,
    data_file,
    data_files,
    is_dataset,
    temporary_files,
    video_files,
)
from foresight.data.recording import FolderLock, data_bytes, is_leftover, place_arrays
from foresight.data.stats import histogram, image_stats, numeric_stats
from foresight.data.verify import content_problems, meta_problems, place_problems, survey
from foresight.data.video import decode_video


def repair(path: Path | str) -> list[str]:
    """Take damaged episodes and files without an episode out, and make the metadata again.

    Args:
        path: the dataset's folder.

    Returns:
        What was done, one sentence each; empty if nothing had to be.

    Raises:
        ForesightError: no dataset, nothing in it can be rescued, it is of a version that is only
            read, it cannot be written, or another process is writing it.
    """
    root = Path(path)
    finish_swap(root)
    if not is_dataset(root):
        raise ForesightError(f"{root} is not a dataset: pass the folder of one.")
    lock = FolderLock(root)
    lock.take()
    try:
        return _repair(root)
    finally:
        lock.release()


@dataclass
class _Plan:
    """Which episodes stay, with their old and new descriptions."""

    index: Index
    moves: list[tuple[EpisodeMeta, EpisodeMeta]]

    @property
    def moved(self) -> list[tuple[EpisodeMeta, EpisodeMeta]]:
        return [(old, new) for old, new in self.moves if old.data != new.data]


def _repair(root: Path) -> list[str]:
    actions: list[str] = []
    try:
        old = load_index(root)
    except ForesightError as error:
        old = survey(root)
        actions.append(f"Made the metadata again from the data files, because: {error}")
    bad = _damaged(root, old)
    if bad and old.schema.version.startswith("v2"):
        raise ForesightError(
            f"{root} is a dataset of version {old.schema.version} with damaged episodes "
            f"({'; '.join(bad.values())}): convert it to v3.0 with LeRobot, then repair it."
        )
    actions += [f"Took out {old.metas[i]}: {problem}" for i, problem in bad.items()]
    plan = _plan(root, old, set(bad))
    for before, after in plan.moved:
        _rewrite(root, before, after, plan.index)
    if plan.moved:
        actions.append(f"Rewrote the rows of {len(plan.moved)} episodes for their new places.")
    actions += _mend_meta(root, old, plan, bool(actions))
    return actions + _take_out(root, old, plan.index)


def _damaged(root: Path, index: Index) -> dict[int, str]:
    """Position of each damaged episode to the first thing that is wrong with it."""
    found: dict[int, str] = {}
    lossy = index.schema.codec != LOSSLESS  # real cameras, which can freeze
    chosen = [i for i, meta in enumerate(index.metas) if lossy or not meta.own]
    dataset = Dataset(root, index, index.schema.spec, LOSSLESS)
    looked = inspect(dataset, chosen).problems
    for i, meta in enumerate(index.metas):
        problems = content_problems(root, meta, index.schema) if meta.own else []
        problems = problems or looked.get(i, [])
        if problems:
            found[i] = problems[0]
    return found


def _plan(root: Path, old: Index, bad: set[int]) -> _Plan:
    """Give the kept episodes consecutive places, from the first that has to move.

    Readers of the format expect data files in the order of the episodes: once one has moved to
    the end, all behind it follow. An episode also moves out of a file that holds a damaged one.
    """
    new = Index(old.schema)
    plan = _Plan(new, [])
    free = next_file(root, old)
    spoilt = {old.metas[i].data for i in bad}
    moving = False
    for i, meta in enumerate(old.metas):
        moving = moving or meta.data in spoilt
        if i in bad:
            continue
        goal = meta
        if meta.own or moving:
            goal = replace(meta, index=len(new.metas), start=new.frames)
        if meta.own and not moving:
            moving = goal != meta or bool(place_problems(root, goal, new))
        if moving:
            goal = replace(meta, index=len(new.metas), start=new.frames, data=data_file(free))
            free += 1
        plan.moves.append((meta, goal))
        new.metas.append(goal)
    return plan


def _rewrite(root: Path, meta: EpisodeMeta, goal: EpisodeMeta, index: Index) -> None:
    if not meta.own:
        rewrite_rows(root, meta, goal)
        return
    stored = [name for name in index.schema.columns()]
    columns = read_arrays(root, [meta], stored, index.schema)
    tasks = np.full(goal.length, index.task_index(goal.task), np.int64)
    if not index.own:
        tasks = columns["task_index"]
    columns |= place_arrays(goal, index.schema.rate, tasks)
    levels = _levels(root, meta, index.schema)
    stats = {key: image_stats(counts, goal.length) for key, counts in levels.items()}
    record = Record(goal, stats | numeric_stats(columns), levels)
    write_bytes(root / goal.data, data_bytes(columns, record, index.schema))


def _levels(root: Path, meta: EpisodeMeta, schema: Schema) -> dict[str, np.ndarray]:
    """The colour histograms, from the footer or, where that is damaged, from the videos."""
    try:
        return read_footer(root / meta.data)[0].levels
    except ForesightError:
        found = {}
        for key, video in meta.videos.items():
            height, width, _ = schema.features[key].shape
            frames = decode_video(root / video.path, meta.length, height, width)
            found[key] = histogram(frames)
        return found


def _mend_meta(root: Path, old: Index, plan: _Plan, changed: bool) -> list[str]:
    """Write ``meta/`` for the episodes that stay, where it differs."""
    new = plan.index
    if not old.own:
        if changed:
            swap_meta(root, new, plan.moves)
        return []
    actions = []
    if not changed and old.complete:
        problems = meta_problems(root, new)
        actions += [f"Made the metadata again, because: {problem}" for problem in problems]
    if changed or actions or not old.complete:
        records = [read_footer(root / meta.data)[0] for meta in new.metas]
        write_meta(root, new, table_of(records, new.schema))
        if not changed and not actions:
            actions.append("Finished the metadata that a killed writer had left.")
    return actions


def _take_out(root: Path, old: Index, new: Index) -> list[str]:
    """Move the files that no episode refers to any more into ``removed``.

    In a folder of ours these are all such files, elsewhere only those of what was taken out. Only
    our own copies of what is kept, and half-written files of ours, are deleted.
    """
    kept = {meta.data for meta in new.metas}
    kept |= {video.path for meta in new.metas for video in meta.videos.values()}
    if old.schema.own:
        candidates = [*temporary_files(root), *data_files(root).values(), *video_files(root)]
    else:
        names = {meta.data for meta in old.metas}
        names |= {video.path for meta in old.metas for video in meta.videos.values()}
        candidates = [root / name for name in sorted(names)]
    moved = 0
    with disk_errors(root):
        for path in candidates:
            if str(path.relative_to(root)) in kept or not path.exists():
                continue
            if path.suffix != ".mp4" and is_leftover(path, new.metas):
                path.unlink(missing_ok=True)
            else:
                move_out(root, path)
                moved += 1
    where = f"{root / REMOVED}"
    return [f"Moved {moved} files that belong to no episode to {where}."] if moved else []


def move_out(root: Path, path: Path) -> Path:
    """Move a file or folder of a dataset into ``removed``, beside what may lie there already."""
    goal = root / REMOVED / path.relative_to(root)
    goal.parent.mkdir(parents=True, exist_ok=True)
    free, count = goal, 0
    while free.exists():
        count += 1
        free = goal.with_name(f"{goal.name}.{count}")
    os.replace(path, free)
    return free
