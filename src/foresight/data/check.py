"""Look at a dataset from outside: what it holds, what is wrong with it, and mend it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.data.index import is_dataset, load_index
from foresight.data.repair import repair
from foresight.data.store import EpisodeStore
from foresight.data.verify import (
    content_problems,
    meta_problems,
    place_problems,
    survey,
    video_problems,
)

__all__ = ["check", "info", "repair"]


def info(path: Path | str) -> dict[str, Any]:
    """What a dataset holds, from its metadata alone.

    Returns:
        Plain values: path, episodes, steps, tasks, behaviours and protocols (with the number of
        episodes of each), seeds, fps, control time step, frame size, render settings, sizes of
        action, proprioception and state, returns, successes, bytes, fingerprint and whether the
        metadata are complete.

    Raises:
        ForesightError: no dataset, or a damaged one.
    """
    store = EpisodeStore.open(path)
    metas, schema = store.metas, store.schema
    returns = [meta.return_ for meta in metas]
    seeds = [meta.seed for meta in metas]
    return {
        "path": str(path),
        "episodes": len(metas),
        "steps": sum(store.lengths),
        "tasks": dict(Counter(meta.task for meta in metas)),
        "behaviours": dict(Counter(meta.behaviour for meta in metas)),
        "protocols": dict(Counter(meta.protocol for meta in metas)),
        "seeds": [min(seeds), max(seeds)] if seeds else [],
        "length": {"min": min(store.lengths), "max": max(store.lengths)} if metas else {},
        "return": {
            "mean": sum(returns) / len(returns),
            "min": min(returns),
            "max": max(returns),
        }
        if metas
        else {},
        "successes": sum(meta.success for meta in metas),
        "fps": schema.fps,
        "control_timestep": schema.control_timestep,
        "action": schema.action,
        "proprio": schema.proprio,
        "state": schema.state,
        "frame": list(schema.image) if schema.image else None,
        "render": schema.render,
        "bytes": sum(file.stat().st_size for file in Path(path).rglob("*") if file.is_file()),
        "complete": store.folded,
        "fingerprint": store.fingerprint,
    }


def check(path: Path | str, decode: bool = False) -> list[str]:
    """Compare everything in a dataset with what should be there, changing nothing.

    Every number and every video byte is compared with the hash that was taken when it was written.

    Args:
        path: the dataset's folder.
        decode: decode every video as well; slower, and needed only where the hashes themselves
            are in doubt.

    Returns:
        The problems, one sentence each; empty for a sound dataset.

    Raises:
        ForesightError: ``path`` is no dataset.
    """
    root = Path(path)
    if not is_dataset(root):
        raise ForesightError(f"{root} is not a dataset: pass the folder of one.")
    problems: list[str] = []
    try:
        index = load_index(root)
        problems += meta_problems(root, index)
    except ForesightError as error:
        problems.append(str(error))
        try:
            index = survey(root)
        except ForesightError as nothing:
            return [*problems, str(nothing)]
    for meta in index.metas:
        found = content_problems(root, meta, index.schema)
        if not found:
            found = place_problems(root, meta, index)
            found += video_problems(root, meta, index.schema) if decode else []
        problems += found
    problems += [f"{orphan} belongs to no episode." for orphan in index.orphans]
    return list(dict.fromkeys(problems))
