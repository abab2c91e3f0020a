"""From nothing to a page with films: one task learned, shown, and measured beside its baselines."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.files import read_json, write_json
from foresight.core.progress import console
from foresight.core.stopwatch import Stopwatch
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.pipelines import teach as teach_play
from foresight.pipelines.learn import (
    LearnConfig,
    learn_task,
    online_of,
    presets,
    protocol_of,
    teaching,
)
from foresight.report.run_page import BESIDE, film_path, road_page
from foresight.rollout.pool import aside
from foresight.training.online_config import Method, OnlineConfig
from foresight.training.task_settings import folder_name, task_name

DEMO_STEPS = {"cartpole-swingup": 24_000}
"""Environment steps of a demonstration, by task."""
OTHER_STEPS = 80_000
"""Those of other tasks, at most."""
DEMO_REPRESENTATION = {"cartpole-swingup": (2000, 1)}
"""Updates of its first representation phase, and later phases, by task: where no goal is drawn, an
adapter has less to tell apart."""
DEMO_UPDATES = 0.8
"""Share of the updates for each decision where nobody shows anything; taught ones need fewer."""
DEMO_HEADS = 1500
"""Updates of what follows a video."""
DEMO_SEEDS = 10
"""Episodes in which it is measured."""
ORACLE = "oracle"
"""A search in the simulator itself, which takes as long as all else that is measured: a
demonstration goes without."""
DEMO_TRIALS = 2
"""Episodes in which each trust is tried at its end."""


def road_config(task: str, preset: str, method: Method = "taught") -> LearnConfig:
    """Sizes of `road` for one task: ``full`` as in the results, ``demo`` a little less, ``smoke``.

    Raises:
        ForesightError: there is no such task.
    """
    sizes = presets()["smoke" if preset == "smoke" else "full"]
    online = online_of(sizes, task, method)
    if preset == "demo":
        online = _demo(online, method)
        baselines = tuple(name for name in sizes.baselines if name != ORACLE)
        heads = replace(sizes.heads, updates=DEMO_HEADS)
        sizes = replace(sizes, seeds=DEMO_SEEDS, baselines=baselines, heads=heads)
    return replace(sizes, online=online, show=online.expert is not None)


def _demo(online: OnlineConfig, method: Method) -> OnlineConfig:
    """A little less of everything."""
    steps = min(DEMO_STEPS.get(online.task, OTHER_STEPS), online.steps)
    share = steps / online.steps
    if share <= 0.5:  # else the first episodes would be all there are
        first = ("random_episodes", "demonstrations")
        online = replace(online, **{name: round(getattr(online, name) * share) for name in first})
    fewer = 1 / 6 if method == "taught" else DEMO_UPDATES
    online = replace(online, updates=online.updates * fewer)
    usual = online.representation_updates, online.representation_phases
    updates, phases = DEMO_REPRESENTATION.get(online.task, usual)
    return replace(
        online,
        steps=steps,
        representation_updates=updates,
        representation_phases=phases,
        finetune_updates=online.finetune_updates // 4,
        final_trials=min(DEMO_TRIALS, online.final_trials),
    )


def beside_config(config: LearnConfig, preset: str, method: Method) -> LearnConfig:
    """How another method learns the task of `road_config` for as many steps; nobody shows it.

    Raises:
        ForesightError: it is the same method.
    """
    ours = config.online
    if ours.method == method:
        raise ForesightError(
            f"{ours.task} is learned by {method} already: let another method learn beside it."
        )
    names = ("steps", "encoder", "device", "seed", "protocol", "cameras")
    online = road_config(ours.task, preset, method).online
    online = replace(online, **{name: getattr(ours, name) for name in names})
    return replace(config, online=online, baselines=(), inverse=False, show=False)


def road(
    config: LearnConfig, folder: Path, workers: int = 1, beside: LearnConfig | None = None
) -> Result:
    """Learn one task and show it; run again after a stop, it goes on where it was.

    Writes ``model/``, ``rows.jsonl``, ``videos/``, ``shown/`` where a task was shown,
    ``result.json`` and ``report.html``.

    Args:
        config: what is learned, and on how many seeds it is measured.
        folder: of the run.
        workers: processes that evaluate.
        beside: what another agent learns of the same task in a process of its own at the same time,
            in the folder ``beside``; its episodes stand with ours.

    Raises:
        ForesightError: as `learn_task`.
    """
    with _learning(beside, folder / BESIDE) if beside else nullcontext() as other:
        rows = learn_task(config, folder, 1 if beside else workers)
        if config.show:
            rows += _shown_rows(config, folder)
        if other is not None:
            rows += [row for row in other.result() if "measure" not in row]
    name = f"road-{folder_name(config.online.task)}"
    settings = asdict(config) | ({BESIDE: beside} if beside else {})
    result = make_result(name, settings, protocol_of(config.online), rows)
    result.save(folder / "result.json")
    road_page(folder)
    return result


@contextmanager
def _learning(config: LearnConfig, folder: Path) -> Iterator[Any]:
    """Another agent that learns and is measured meanwhile; the future of its rows."""
    console.print(f"{config.online.task}: {config.online.method} learns beside it, in {folder}")
    with aside(partial(learn_task, config, folder), "the agent beside") as rows:
        yield rows


def _shown_rows(config: LearnConfig, folder: Path) -> list[Row]:
    """One video is shown, and followed without reward; what came of it is filmed."""
    task, kept = task_name(config.online.task), folder / "shown" / "played.json"
    if not kept.exists():
        watch = Stopwatch()
        console.print(f"{task}: learn to follow, then show it once")
        request = teach_play.TeachRequest(task, folder / "model", seed=0, sizes=teaching(config))
        with watch.stage("teach"):
            film = film_path(folder, "taught-seed-0")
            played = teach_play.teach_once(request, film, kept.parent, _say)
        found = {"taught-return": played.return_, "taught-progress": played.progress}
        write_json(kept, found | {"seconds:teach": watch.seconds["teach"]})
    return [
        {"measure": name, "task": task, "value": float(value)}
        for name, value in read_json(kept).items()
    ]


def _say(sentence: str) -> None:
    console.print(sentence, soft_wrap=True, markup=False)
