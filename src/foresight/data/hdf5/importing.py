"""HDF5 files of demonstrations into a dataset; a stopped import goes on where it was."""

from __future__ import annotations

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.data.dataset import Dataset
from foresight.data.encoding import EncodedEpisode, encode_episode
from foresight.data.hdf5.demos import IMPORTED, info_of, is_empty, read_episode, read_numbers
from foresight.data.hdf5.files import (
    FaultyError,
    demo_names,
    demonstration,
    demonstration_files,
    opened,
)
from foresight.data.hdf5.layout import Layout, read_layout
from foresight.data.hdf5.options import ImportOptions
from foresight.data.hdf5.telling import describe

TRIED = 3
"""Demonstrations of a file whose timing is looked at, until one tells."""


@dataclass(frozen=True)
class Planned:
    """One demonstration that is to be an episode.

    Attributes:
        layout: of its file.
        demo: its name.
        task: what was to be done.
        info: what the episode's info will say.
    """

    layout: Layout
    demo: str
    task: str
    info: Mapping[str, Any]


@dataclass
class Plan:
    """What files hold.

    Attributes:
        demos: to be imported, in order.
        layouts: of the files they are in.
        empty: demonstrations without a step.
        failed: demonstrations that did not succeed.
        faults: one sentence for each file or demonstration that cannot be imported.
    """

    demos: list[Planned] = field(default_factory=list)
    layouts: list[Layout] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def import_demonstrations(
    source: Path | str,
    out: Path | str,
    options: ImportOptions | None = None,
    tell: Callable[[str], None] = print,
) -> Dataset:
    """Bring the demonstrations of a file, or of all files in a folder, into a dataset.

    All numbers are looked at before the first episode is written. Demonstrations that the dataset
    holds are known by name and actions and left alone, so the same call finishes what a
    stopped one began, and another file's demonstrations come after those that are there.

    Args:
        source: an HDF5 file in the layout of LIBERO or robomimic, or a folder of them.
        out: folder of the dataset; made if needed.
        options: how.
        tell: gets what is worth knowing, line by line.

    Returns:
        The finished dataset.

    Raises:
        ForesightError: h5py is missing; a file or demonstration is damaged (and is not to be left
            out); robots, cameras or rates differ; the dataset was made otherwise or is being
            written; or the disk is full. Finished episodes stay.
    """
    require("h5py", "Importing demonstrations from HDF5")
    options = options or ImportOptions()
    plan = make_plan(Path(source), options)
    if plan.faults and not options.skip_faulty:
        more = len(plan.faults) - 1
        also = f" ({more} more cannot be imported)." if more else "."
        raise FaultyError(plan.faults[0].removesuffix(".") + also)
    for line in describe(plan.layouts, plan.empty, plan.failed, plan.faults, options):
        tell(line)
    if not plan.demos:
        raise ForesightError(f"{source} holds no demonstration to import: give another file.")
    _expect_alike(plan.layouts)
    dataset = Dataset.open_or_create(out, plan.layouts[0].spec, codec=options.codec)
    missing = _missing(dataset, plan.demos)
    with dataset:
        for episode in track(_encoded(missing, options), "importing", len(missing)):
            if isinstance(episode, FaultyError):
                tell(f"left out: {episode}")
            else:
                dataset.append(episode)
        dataset.finish()
    there = len(plan.demos) - len(missing)
    tell(
        f"{out}: {len(dataset)} episodes, {sum(dataset.lengths)} steps, {len(dataset.tasks)} "
        f"task{'s' * (len(dataset.tasks) != 1)}" + (f"; {there} were there already" * bool(there))
    )
    return dataset


def make_plan(source: Path, options: ImportOptions) -> Plan:
    """Look at all numbers of all demonstrations, and at no picture.

    Raises:
        ForesightError: there are no files; a camera or successful demonstrations were asked for
            and the files do not have or tell them.
    """
    plan = Plan()
    for path in track(demonstration_files(source), "looking"):
        try:
            with opened(path) as file:
                _plan_file(plan, file, path, options)
        except FaultyError as error:
            plan.faults.append(str(error))
    return plan


def _plan_file(plan: Plan, file: Any, path: Path, options: ImportOptions) -> None:
    full: dict[str, Any] = {}
    for name in demo_names(file, path):
        try:
            demo = demonstration(file["data"], name)
            if is_empty(demo):
                plan.empty.append(f"{path.name} {name}")
            else:
                full[name] = demo
        except FaultyError as error:
            plan.faults.append(str(error))
    if not full:
        return
    layout = read_layout(_typical(full)[:TRIED], file["data"], path, options)
    if options.successful and layout.judged is None:
        raise ForesightError(
            f"{path} does not say which demonstrations succeeded: leave out --successful, or "
            "choose files with success or sparse rewards."
        )
    taken = 0
    for demo in full.values():
        if options.limit is not None and taken >= options.limit:
            break
        try:
            taken += _plan_demo(plan, demo, layout)
        except FaultyError as error:
            plan.faults.append(str(error))
    if taken:
        plan.layouts.append(layout)


def _typical(demos: Mapping[str, Any]) -> list[Any]:
    """The demonstrations that have what most of them have; what others lack is missed by name."""
    keys: dict[str, frozenset[str]] = {}
    for name, demo in demos.items():
        obs = demo.get("obs")
        inner = [f"obs/{key}" for key in obs] if hasattr(obs, "keys") else []
        keys[name] = frozenset([*demo, *inner])
    counts = Counter(keys.values())
    usual = max(counts, key=lambda found: (counts[found], len(found)))
    return [demo for name, demo in demos.items() if keys[name] == usual]


def _plan_demo(plan: Plan, demo: Any, layout: Layout) -> bool:
    """Whether the demonstration is one to import."""
    numbers, name = read_numbers(demo, layout), demo.name.rpartition("/")[2]
    if not len(numbers):
        plan.empty.append(f"{layout.path.name} {name}")
        return False
    if numbers.success is False:
        plan.failed.append(f"{layout.path.name} {name}")
        if layout.options.successful:
            return False
    plan.demos.append(Planned(layout, name, numbers.task, info_of(demo, layout, numbers)))
    return True


def _expect_alike(layouts: Sequence[Layout]) -> None:
    """Refuse files whose episodes would not fit into one dataset.

    Raises:
        ForesightError: robots, cameras or rates differ, or one has rewards and another has not.
    """
    first, *others = layouts
    for other in others:
        first.spec.expect(other.spec, str(first.path), str(other.path))
        for what, has in (("rewards", "rewards"), ("a word on success", "judged")):
            one, two = bool(getattr(first, has)), bool(getattr(other, has))
            if one != two:
                yes, no = (first, other) if one else (other, first)
                raise ForesightError(
                    f"{yes.path} has {what} and {no.path} has not: import each into a dataset of "
                    "its own."
                )


def _missing(dataset: Dataset, planned: list[Planned]) -> list[Planned]:
    """What is not stored yet, in order.

    Raises:
        ForesightError: the dataset holds other things, or the same ones paired or turned
            otherwise.
    """
    stored: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for meta in dataset.metas:
        if IMPORTED not in meta.info:
            raise ForesightError(
                f"{dataset.path} holds {meta}, which was not imported: choose another folder."
            )
        stored[fingerprint(meta.info[IMPORTED])].append({**meta.info, "task": meta.task})
    missing = []
    for demo in planned:
        known = stored[fingerprint(demo.info[IMPORTED])]
        if not known:
            missing.append(demo)
            continue
        info, now = known.pop(), {**demo.info, "task": demo.task}
        for name in ("observed", "turned", "task"):
            if info[name] != now[name]:
                raise ForesightError(
                    f"{dataset.path} holds {demo.demo} of {demo.layout.path} with {name} "
                    f"{info[name]}, and now it would be {now[name]}: choose another folder, or the "
                    "options of then."
                )
    return missing


def _encoded(
    planned: list[Planned], options: ImportOptions
) -> Iterator[EncodedEpisode | FaultyError]:
    """Episodes in order, read and encoded by threads a little ahead of who takes them."""
    workers = options.workers or os.cpu_count() or 1
    waiting: deque[Future[EncodedEpisode]] = deque()
    todo = iter(planned)
    pool = ThreadPoolExecutor(workers, "importing")
    try:
        while True:
            for demo in todo:
                waiting.append(pool.submit(_encode, demo, options.codec))
                if len(waiting) > workers:
                    break
            if not waiting:
                return
            try:
                yield waiting.popleft().result()
            except FaultyError as error:
                if not options.skip_faulty:
                    raise
                yield error
    finally:
        pool.shutdown(cancel_futures=True)


def _encode(planned: Planned, codec: str) -> EncodedEpisode:
    with opened(planned.layout.path) as file:
        episode = read_episode(demonstration(file["data"], planned.demo), planned.layout)
    return encode_episode(episode, codec)
