"""Look at a dataset from outside: what it holds and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.files import read_json
from foresight.data.catalog import Index, load_index
from foresight.data.dataset import Dataset
from foresight.data.features import LOSSLESS, REWARD
from foresight.data.inspection import inspect
from foresight.data.layout import INFO_PATH, REMOVED, STATS_PATH, is_dataset
from foresight.data.legacy import STATS as LEGACY_STATS
from foresight.data.repair import repair
from foresight.data.verify import content_problems, meta_problems, place_problems, survey

__all__ = ["Report", "check", "examine", "info", "repair"]


@dataclass
class Report:
    """What a look at a dataset brought to light.

    Attributes:
        problems: damage, one sentence each.
        notes: what is worth knowing and no damage.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def info(path: Path | str) -> dict[str, Any]:
    """What a dataset of any program holds, from its metadata and rewards.

    Returns:
        Plain values: path, format, writer, episodes, steps, tasks (with the number of episodes of
        each), fps, cameras (height, width, codec), state and action (names), further columns,
        rewards, what the episodes' info says (policies, seeds, ...), bytes, fingerprint and
        whether the metadata are complete.

    Raises:
        ForesightError: no dataset, or a damaged one.
    """
    dataset = Dataset.open(path)
    schema, metas = dataset.schema, dataset.metas
    raw = read_json(dataset.path / INFO_PATH)
    plain = ("timestamp", "frame_index", "episode_index", "index", "task_index")
    named = (*plain, "action", "observation.state")
    files = (f for f in dataset.path.rglob("*") if f.is_file())
    return {
        "path": str(path),
        "format": f"LeRobotDataset {schema.version}",
        "writer": "foresight" if schema.own else "another program",
        "robot": raw.get("robot_type"),
        "episodes": len(metas),
        "steps": int(dataset.offsets[-1]),
        "length": {"min": min(dataset.lengths), "max": max(dataset.lengths)} if metas else {},
        "tasks": dict(Counter(meta.task for meta in metas)),
        "fps": dataset.spec.fps,
        "cameras": {name: _camera(raw, key) for name, key in schema.cameras.items()},
        "action": [axis.name for axis in dataset.spec.action],
        "state": [axis.name for axis in dataset.spec.state],
        "columns": [name for name in schema.columns() if name not in named],
        "return": _returns(dataset),
        **_told(metas),
        "bytes": sum(f.stat().st_size for f in files if REMOVED not in f.parts),
        "complete": dataset.folded,
        "fingerprint": dataset.fingerprint,
    }


def check(path: Path | str, decode: bool = False) -> list[str]:
    """The problems that :func:`examine` finds; empty for a sound dataset."""
    return examine(path, decode).problems


def examine(path: Path | str, decode: bool = False) -> Report:
    """Compare everything in a dataset with what should be there, changing nothing.

    Of episodes of ours every number and every video byte is compared with the hash that was taken
    when it was written. Of another program's: that each row has a frame and each file is whole,
    that numbers are finite, that time goes on and that cameras are not frozen.

    Args:
        path: the dataset's folder.
        decode: decode every frame as well, which is slower.

    Raises:
        ForesightError: ``path`` is no dataset.
    """
    root = Path(path)
    if not is_dataset(root):
        raise ForesightError(f"{root} is not a dataset: pass the folder of one.")
    report = Report()
    try:
        index = load_index(root)
        if index.own:
            report.problems += meta_problems(root, index)
    except ForesightError as error:
        report.problems.append(str(error))
        try:
            index = survey(root)
        except ForesightError as nothing:
            report.problems.append(str(nothing))
            return report
    _episodes(root, index, decode, report)
    if index.schema.own:
        report.problems += [f"{orphan} belongs to no episode." for orphan in index.orphans]
    else:
        report.notes += _gaps(root, index)
    report.problems = list(dict.fromkeys(report.problems))
    return report


def _episodes(root: Path, index: Index, decode: bool, report: Report) -> None:
    """Look at each episode: ours by hash, others, and lossy or decoded ones, by their content."""
    dataset = Dataset(root, index, index.schema.spec, index.schema.codec or LOSSLESS)
    content: list[int] = []
    for position, meta in enumerate(index.metas):
        if not meta.own:
            content.append(position)
            continue
        found = content_problems(root, meta, index.schema)
        if not found:
            found = place_problems(root, meta, index)
            if decode or index.schema.codec != LOSSLESS:
                content.append(position)
        report.problems += found
    looked = inspect(dataset, content, decode)
    for position in content:
        report.problems += looked.problems.get(position, [])
    report.notes += looked.notes


def _gaps(root: Path, index: Index) -> list[str]:
    """What another program's metadata lack, or count otherwise."""
    notes = []
    raw = index.schema.info
    for name, found in (("total_episodes", len(index.metas)), ("total_frames", index.frames)):
        if raw.get(name) not in (None, found):
            notes.append(f"{INFO_PATH} counts {name} {raw[name]} but there are {found}.")
    numbers = [meta.index for meta in index.metas]
    if numbers != list(range(len(numbers))):
        gap = next(i for i, n in enumerate(numbers) if n != i)
        notes.append(f"The episodes' numbers have gaps: there is no episode {gap}.")
    if not (root / STATS_PATH).is_file() and not (root / LEGACY_STATS).is_file():
        notes.append("There are no statistics; they are computed where they are needed.")
    unnamed = [n for n in ("action", "observation.state") if _unnamed(index, n)]
    if unnamed:
        notes.append(f"The numbers of {' and '.join(unnamed)} have no names.")
    if any(not meta.tasks for meta in index.metas):
        notes.append("Some episodes have no task.")
    return notes


def _unnamed(index: Index, name: str) -> bool:
    feature = index.schema.features.get(name)
    return feature is not None and feature.names is None


def _camera(raw: dict[str, Any], key: str) -> str:
    feature = raw["features"][key]
    video = feature.get("info") or feature.get("video_info") or {}
    codec = video.get("video.codec")
    kind = f"{codec} {video.get('video.pix_fmt', '')}".strip() if codec else feature["dtype"]
    return f"{'x'.join(map(str, feature['shape']))} {kind}"


def _returns(dataset: Dataset) -> dict[str, float]:
    """Mean, smallest and largest sum of rewards; empty where there are none."""
    noted = [meta.return_ for meta in dataset.metas]
    if not noted or any(value is None for value in noted):
        if not noted or not dataset.has(REWARD):
            return {}
        rewards = dataset.column(REWARD, finite=False).reshape(-1).astype(np.float64)
        noted = [float(r.sum()) for r in np.split(rewards, dataset.offsets[1:-1])]
    sums = np.array(noted, np.float64)
    return {"mean": float(sums.mean()), "min": float(sums.min()), "max": float(sums.max())}


def _told(metas: list[Any]) -> dict[str, Any]:
    """What the episodes' info says: seeds as a range, short words counted."""
    found: dict[str, Any] = {}
    if any(meta.success is not None for meta in metas):
        found["successes"] = sum(bool(meta.success) for meta in metas)
    names = dict.fromkeys(name for meta in metas for name in meta.info)
    for name in names:
        values = [meta.info[name] for meta in metas if name in meta.info]
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
            found[f"info.{name}"] = [min(values), max(values)]
        elif all(isinstance(value, str | bool) for value in values):
            found[f"info.{name}"] = dict(Counter(map(str, values)))
    return found
