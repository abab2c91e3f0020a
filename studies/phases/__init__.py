"""The phases of the source documents, repeated with their mistakes mended.

Mended: frames of the size that the encoder expects, windows that end at the present step both in
training and while planning, a real expert, splits by episode, equal updates and equal searches
where two things are compared, and seeds enough for an interval. Every phase runs in the view
``grid`` and in the sources' own, ``mean``. What the documents report and conclude stands in
`studies.sources`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from foresight.evaluation.results import Result, make_result
from foresight.pipelines.stages import default_workers
from foresight.worldmodel.dynamics.config import DynamicsConfig
from studies.phases.capacity import phase_4d, phase_4e
from studies.phases.common import Measured, PhaseConfig, Place
from studies.phases.ensembles import phase_6
from studies.phases.multistep import phase_4c
from studies.phases.rewards import phase_5b
from studies.phases.search import phase_4, phase_4b
from studies.phases.seeing import phase_1, phase_3
from studies.phases.showing import phase_7
from studies.registry import Request
from studies.sources import SOURCES

PHASES: dict[str, Callable[[Place], Measured]] = {
    "phase-1": phase_1,
    "phase-3": phase_3,
    "phase-4": phase_4,
    "phase-4b": phase_4b,
    "phase-4c": phase_4c,
    "phase-4d": phase_4d,
    "phase-4e": phase_4e,
    "phase-5b": phase_5b,
    "phase-6": phase_6,
    "phase-7": phase_7,
}


def presets() -> dict[str, PhaseConfig]:
    """The named sizes: the sources' data, a fifth of it, and next to nothing."""
    full = PhaseConfig()
    short = replace(
        full, episodes=100, large=100, task_episodes=30, updates=1500, ensemble_updates=500
    )
    smoke = PhaseConfig(
        episodes=5,
        large=10,
        task_episodes=5,
        validation=0.34,
        updates=6,
        ensemble_updates=4,
        checks=2,
        batch=32,
        dim=8,
        seeds=2,
        planner=replace(full.planner, samples=16, elites=4, iterations=2, horizon=4, goal_steps=12),
        mlp=DynamicsConfig("mlp", hidden=32, layers=2),
        resblock=DynamicsConfig("resblock", hidden=64, layers=2, dropout=0.1),
        steps=14,
        measure_horizon=5,
    )
    return {"full": full, "short": short, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """The phase that is asked for."""
    sizes = presets()[request.preset]
    sizes = replace(sizes, encoder=request.encoder, device=request.device)
    if request.seeds is not None:
        sizes = replace(sizes, seeds=request.seeds)
    if request.episodes is not None:
        count = request.episodes
        sizes = replace(sizes, episodes=count, large=count, task_episodes=count)
    return run(request.name, sizes, request.folder, request.processes)


def run(name: str, config: PhaseConfig, folder: Path, workers: int | None = None) -> Result:
    """Run a phase in ``folder``; what another phase left there is used, not made again.

    The sources' figures stand in the result's configuration under ``source``.

    Raises:
        ForesightError: the folder holds data or models of other sizes.
    """
    place = Place(config, folder, workers or default_workers())
    found = PHASES[name](place)
    figures = {f.what: f.source for f in SOURCES[name].figures if f.source is not None}
    settings = {"phase": config, "source": figures}
    return make_result(name, settings, found.protocol, found.rows, found.summary)
