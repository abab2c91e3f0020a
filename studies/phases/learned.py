"""Phases 8 and 9: questions to learned agents, answered by the experiments that measure them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.evaluation.results import Result, load
from foresight.pipelines import demonstrations
from foresight.pipelines import learn as planning
from foresight.training.online_changes import OnlineChanges
from studies import evidence, teach
from studies.findings import print_phase
from studies.phases.common import TASK
from studies.registry import Request

NEEDS = {"phase-8": ("ablation",), "phase-9": ("planning", "teach")}
"""The result files that answer a phase, in the order in which they can be made."""
TASKS = {
    "phase-8": (TASK, "cartpole-swingup"),
    "phase-9": MEASURED_TASKS,
}
SMOKE_TASKS = (TASK,)
FINISHED = "seconds.json"
"""What a task's folder has once it is learned and measured."""


@dataclass(frozen=True)
class LearnedPlace:
    """Where the files lie that answer, and how large missing ones are made.

    Attributes:
        results: folder of the result files.
        models: folder with ``TASK/model`` for each task.
        runs: gets a folder for each experiment's finished episodes.
        preset: full or smoke.
        tasks: instead of the phase's own.
        seeds: instead of the preset's number.
        workers: processes that evaluate.
        encoder: frozen eyes of models that have to be learned.
    """

    results: Path
    models: Path
    runs: Path
    preset: Literal["full", "smoke"] = "full"
    tasks: tuple[str, ...] = ()
    seeds: int | None = None
    workers: int = 1
    encoder: str = "foresight-small"

    def names(self, phase: str) -> tuple[str, ...]:
        """The tasks of a phase."""
        return self.tasks or (SMOKE_TASKS if self.preset == "smoke" else TASKS[phase])


def reproduce(request: Request) -> None:
    """Answer a phase from the files of other experiments, and say which they were."""
    runs = request.run or Path("runs") / ("learned-smoke" if request.smoke else "")
    place = LearnedPlace(
        results=runs if request.smoke else Path("results"),
        models=runs / "models" if request.smoke else request.models,
        runs=runs,
        preset="smoke" if request.smoke else "full",
        tasks=request.tasks,
        seeds=request.seeds,
        workers=request.processes,
        encoder=request.encoder,
    )
    found = answer(request.name, place)
    print_phase(request.name, place.results)
    for name, result in found.items():
        print(f"read: {place.results / name}.json, made by {result.command}; remove it to repeat")


def answer(phase: str, place: LearnedPlace) -> dict[str, Result]:
    """The results that decide a phase: read where their files are there, else measured now.

    A file that is there is never measured again, whatever tasks it holds. Killed runs go on.

    Args:
        phase: ``phase-8`` or ``phase-9``.
        place: where.

    Raises:
        ForesightError: a file is no valid result, or an experiment has something to say about its
            input.
    """
    makers: dict[str, Callable[[LearnedPlace, tuple[str, ...]], Result]] = {
        "planning": _planning,
        "teach": _teach,
        "ablation": _ablation,
    }
    found = {}
    for name in NEEDS[phase]:
        path = place.results / f"{name}.json"
        if not path.exists():
            makers[name](place, place.names(phase)).save(path)
        found[name] = load(path)
    return found


def _planning(place: LearnedPlace, tasks: tuple[str, ...]) -> Result:
    sizes = planning.presets()[place.preset]
    changes = OnlineChanges(encoder=place.encoder)
    if place.seeds is not None:
        sizes = replace(sizes, seeds=place.seeds)
    measured = place.results / "baselines.json"
    if place.preset == "full" and measured.exists():
        sizes = replace(sizes, measured=measured)
    return planning.run(sizes, tasks, place.models, place.workers, changes)


def _learn(place: LearnedPlace, tasks: tuple[str, ...]) -> None:
    """Learn what is not learned to its end."""
    missing = tuple(task for task in tasks if not (place.models / task / FINISHED).exists())
    if missing:
        _planning(place, missing)


def _teach(place: LearnedPlace, tasks: tuple[str, ...]) -> Result:
    _learn(place, tasks)
    sizes = replace(demonstrations.presets()[place.preset], encoder=place.encoder)
    if place.seeds is not None:
        sizes = replace(sizes, seeds=place.seeds)
    return teach.run(sizes, tasks, place.models, place.runs / "teach", place.workers)


def _ablation(place: LearnedPlace, tasks: tuple[str, ...]) -> Result:
    _learn(place, tasks)
    learned = [place.models / task for task in tasks]
    folder = place.runs / "ablation"
    return evidence.run("ablation", place.preset, folder, learned, place.workers, place.seeds)
