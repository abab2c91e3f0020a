"""Study ``baselines``: what doing nothing, chance, a constant, an expert and an oracle reach."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path

from foresight.core.provenance import git_revision
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.envs.registry import EnvConfig
from foresight.evaluation.baselines import CONDITIONS, paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from studies.registry import Request

SMOKE_TASKS = ("reacher-easy", "cartpole-swingup")
SMOKE_CONDITIONS = ("zero", "random", "expert")


@dataclass(frozen=True)
class BaselinesConfig:
    """Trivial baselines, experts and the true-simulator oracle on the source tasks."""

    tasks: tuple[str, ...] = MEASURED_TASKS
    """Tasks to run, for example reacher-easy cup-catch."""
    seeds: int = 20
    """Evaluation seeds 0 .. seeds - 1 of every task and condition."""
    conditions: tuple[str, ...] = CONDITIONS
    """Any of zero, random, constant (searched on training seeds), expert, oracle."""
    protocol: str = "seed200"
    """seed200 (200 steps, no repeat) or dmc1000 (1000 steps, repeat 2)."""
    steps: int | None = None
    """Cut episodes short (smoke runs)."""


def presets() -> dict[str, BaselinesConfig]:
    """The named sizes."""
    smoke = BaselinesConfig(SMOKE_TASKS, 2, SMOKE_CONDITIONS, steps=10)
    return {"full": BaselinesConfig(), "smoke": smoke}


def reproduce(request: Request) -> Result:
    """Measure all baselines; a killed run goes on where it was."""
    sizes = presets()[request.preset]
    if request.seeds is not None:
        sizes = replace(sizes, seeds=request.seeds)
    return run(sizes, request.folder, request.processes)


def run(config: BaselinesConfig, folder: Path, workers: int = 1) -> Result:
    """Measure baselines.

    Args:
        config: of what, on how many seeds.
        folder: for finished episodes.
        workers: processes that run episodes; the numbers do not depend on it.
    """
    book = EpisodeCache(folder / "rows.jsonl")
    _tell_old_revisions(book)
    rows = []
    for task in config.tasks:
        env = EnvConfig(task, protocol=config.protocol)
        trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
        rows += paired_baselines(trial, config.conditions, book)
    return make_result("baselines", config, config.protocol, rows)


def _tell_old_revisions(book: EpisodeCache) -> None:
    old = [revision for revision in book.revisions() if revision != git_revision()]
    if old:
        print(
            f"Finished episodes in {book.path} were measured at {', '.join(r[:12] for r in old)} "
            "and are kept; remove the file to measure all of them again.",
            file=sys.stderr,
        )
