"""Look for real damage in episodes of any program: rows, numbers, times, frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import STATE_KEY
from foresight.data.columns import first_not_finite
from foresight.data.dataset import LEARNED, Dataset
from foresight.data.episodes import EpisodeMeta
from foresight.data.features import ACTION
from foresight.data.tables import RowReader, to_numpy
from foresight.data.video import frame_times

SAMPLES = 9
"""Frames of an episode that are compared to see whether a camera is frozen."""
STILL = 3.0
"""Grey levels by which the mean of 4 by 4 pixels may differ in one and the same picture."""
MOVED = 0.1
"""Share of a number's range over which a robot has to move before a camera must show it."""


@dataclass
class Findings:
    """What was found.

    Attributes:
        problems: position of an episode to what is wrong with it.
        notes: what is worth knowing and no damage.
    """

    problems: dict[int, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, position: int, problem: str) -> None:
        """Note what is wrong with an episode, once."""
        known = self.problems.setdefault(position, [])
        if problem not in known:
            known.append(problem)


def inspect(dataset: Dataset, positions: Sequence[int], decode: bool = False) -> Findings:
    """Look at some episodes.

    Args:
        dataset: of any program.
        positions: the episodes, in order.
        decode: decode every frame instead of counting them.
    """
    found = Findings()
    motion = _inspect_rows(dataset, positions, found)
    _count_frames(dataset, positions, found)
    for position in positions:
        if position not in found.problems:
            _inspect_frames(dataset, position, motion.get(position), decode, found)
    return found


def _inspect_rows(
    dataset: Dataset, positions: Sequence[int], found: Findings
) -> dict[int, np.ndarray]:
    """Check the numbers of each episode; returns how the robot moved, ``[T, D]``."""
    root, metas = dataset.path, dataset.metas
    motion: dict[int, np.ndarray] = {}
    for data, group in groupby(positions, key=lambda i: metas[i].data):
        chosen = list(group)
        try:
            with RowReader(root / data) as reader:
                for i in chosen:
                    try:
                        arrays = _episode_arrays(reader, metas[i], dataset)
                    except ForesightError as error:
                        found.add(i, str(error))
                        continue
                    _check_numbers(metas[i], arrays, dataset, i, found)
                    moving = arrays.get(STATE_KEY, arrays[ACTION])
                    motion[i] = moving.reshape(len(moving), -1).astype(np.float64)
        except ForesightError as error:
            for i in chosen:
                found.add(i, str(error))
    _note_constants(dataset, motion, found)
    return motion


def _episode_arrays(
    reader: RowReader, meta: EpisodeMeta, dataset: Dataset
) -> dict[str, np.ndarray]:
    features = {n: f for n, f in dataset.schema.columns().items() if f.dtype != "string"}
    table = reader.episode(meta.index, meta.length, list(features))
    where = f"{reader.path}, episode {meta.index},"
    return {name: to_numpy(table[name], f, where) for name, f in features.items()}


def _check_numbers(
    meta: EpisodeMeta, arrays: dict[str, np.ndarray], dataset: Dataset, i: int, found: Findings
) -> None:
    for name, values in arrays.items():
        infinite = values.dtype.kind == "f" and bool(np.isinf(values).any())
        if name in LEARNED or infinite:
            words = first_not_finite(name, values, [meta], dataset.schema)
            if words is not None:
                found.add(i, f"{dataset.path / meta.data}: {words}.")
    times = arrays.get("timestamp")
    if times is None or len(times) < 2:
        return
    steps = np.diff(times.astype(np.float64))
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        found.add(
            i,
            f"{dataset.path / meta.data}: the timestamps of episode {meta.index} go back, from "
            f"{times[row - 1]:g} s to {times[row]:g} s at row {row}.",
        )
    elif np.abs(steps * dataset.spec.fps - 1).max() > 0.5:
        row = int(np.argmax(np.abs(steps * dataset.spec.fps - 1))) + 1
        found.notes.append(
            f"Episode {meta.index} has {steps[row - 1]:g} s between rows {row - 1} and {row} where "
            f"{1 / dataset.spec.fps:g} s are expected."
        )


def _note_constants(dataset: Dataset, motion: dict[int, np.ndarray], found: Findings) -> None:
    """Numbers that never change are no damage: a gripper that a task does not need."""
    rows = [i for i in motion]
    if not rows:
        return
    names = [STATE_KEY] if dataset.has(STATE_KEY) else []
    for name in [*names, ACTION]:
        feature = dataset.schema.features[name]
        if name == ACTION and names:
            try:
                values = dataset.column(ACTION, finite=False).reshape(-1, feature.size)
            except ForesightError:
                continue
        else:
            values = np.concatenate([motion[i] for i in rows])
        if len(values) > 1:
            constant = np.flatnonzero(values.min(0) == values.max(0))
            labels = feature.axis_names()
            found.notes += [
                f"{name} {labels[d]} is {values[0, d]:g} in all rows." for d in constant
            ]


def _count_frames(dataset: Dataset, positions: Sequence[int], found: Findings) -> None:
    """Compare the videos' frames with the rows; nothing is decoded."""
    counts: dict[str, int | str] = {}
    for i in positions:
        meta = dataset.metas[i]
        for key, feature in dataset.schema.features.items():
            if feature.dtype != "video":
                continue
            video = meta.videos.get(key)
            if video is None:
                found.add(i, f"The metadata name no video with {key} of episode {meta.index}.")
                continue
            path = dataset.path / video.path
            if video.path not in counts:
                counts[video.path] = _frames_or_problem(path)
            count = counts[video.path]
            if isinstance(count, str):
                found.add(i, count)
            elif video.first + meta.length > count:
                there = max(0, count - video.first)
                found.add(
                    i,
                    f"{path} has {there} frames of episode {meta.index} ({key}) but {meta.length} "
                    "rows need one each.",
                )


def _frames_or_problem(path: Path) -> int | str:
    try:
        return len(frame_times(path))
    except ForesightError as error:
        return str(error)


def _inspect_frames(
    dataset: Dataset, i: int, motion: np.ndarray | None, decode: bool, found: Findings
) -> None:
    """Decode some frames of each camera, or all, and see whether it is frozen."""
    meta = dataset.metas[i]
    picks = np.unique(np.linspace(0, meta.length - 1, min(meta.length, SAMPLES)).round()).astype(
        int
    )
    for camera, key in dataset.schema.cameras.items():
        try:
            if decode or dataset.schema.features[key].dtype == "image":
                frames = dataset.frames(i, camera)[picks]
            else:
                frames = np.stack([dataset.frames(i, camera, t, t + 1)[0] for t in picks.tolist()])
        except ForesightError as error:
            found.add(i, str(error))
            continue
        if motion is None or len(picks) < 4:
            continue
        same = np.array([_same(a, b) for a, b in pairwise(frames)])
        if same.all() and _moves(motion):
            found.add(
                i,
                f"Camera {camera} is frozen: it shows one picture in all {meta.length} frames of "
                f"episode {meta.index} while the robot moves.",
            )
        elif (span := _longest(same)) is not None:
            first, last = int(picks[span[0]]), int(picks[span[1]])
            if last - first >= meta.length / 2 and _moves(motion[first : last + 1]):
                found.notes.append(
                    f"Camera {camera} seems to show one picture from row {first} to {last} of "
                    f"episode {meta.index} while the robot moves."
                )


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two frames are one picture, up to what a lossy codec changes."""
    difference = np.abs(a.astype(np.float32) - b).mean(-1)
    height, width = (n // 4 * 4 for n in difference.shape)
    if not height or not width:
        return bool(difference.max() <= STILL)
    blocks = difference[:height, :width].reshape(height // 4, 4, width // 4, 4).mean((1, 3))
    return bool(blocks.max() <= STILL)


def _moves(motion: np.ndarray) -> bool:
    """Whether any number of ``[T, D]`` goes over a good part of what one would call a motion."""
    spread = motion.max(0) - motion.min(0)
    scale = np.maximum(np.abs(motion).max(0), 1e-6)
    return bool((spread > MOVED * scale).any())


def _longest(same: np.ndarray) -> tuple[int, int] | None:
    """First and last sample of the longest run of equal pictures, if it has 4 or more."""
    best, first = (0, 0), 0
    for place, equal in enumerate([*same.tolist(), False]):
        if equal:
            continue
        if place - first > best[1] - best[0]:
            best = (first, place)
        first = place + 1
    return best if best[1] - best[0] >= 3 else None
