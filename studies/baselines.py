"""Recipe ``baselines``: what doing nothing, chance, a constant, an expert and an oracle reach."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from foresight.core.provenance import git_revision
from foresight.envs.dmc.tasks import SOURCE_TASKS
from foresight.evaluation.baselines import CONDITIONS, RowBook, paired_baselines
from foresight.evaluation.results import Result, make_result

DEFAULT_OUT = Path("results/baselines.json")
SMOKE_TASKS = ("reacher-easy", "cartpole-swingup")
SMOKE_CONDITIONS = ("zero", "random", "expert")


@dataclass(frozen=True)
class BaselinesConfig:
    """Trivial baselines, experts and the true-simulator oracle on the source tasks."""

    tasks: tuple[str, ...] = SOURCE_TASKS
    """Tasks to run, for example reacher-easy cup-catch."""
    seeds: int = 20
    """Evaluation seeds 0 .. seeds - 1 of every task and condition."""
    conditions: tuple[str, ...] = CONDITIONS
    """Any of zero, random, constant (searched on training seeds), expert, oracle."""
    protocol: str = "seed200"
    """seed200 (200 steps, no repeat) or dmc1000 (1000 steps, repeat 2)."""
    workers: int = 1
    """Processes that run episodes; the numbers do not depend on it."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: two tasks, two seeds and ten steps, to see that everything runs."""
    out: Path | None = None
    """The result file; results/baselines.json if left out (a smoke run: inside the run folder)."""
    run: Path = Path("runs/baselines")
    """Folder for finished episodes: a killed run, started again, goes on from there."""


def run(config: BaselinesConfig) -> Result:
    """Measure all baselines, save them and return them."""
    smoke = config.preset == "smoke"
    tasks = SMOKE_TASKS if smoke else config.tasks
    conditions = SMOKE_CONDITIONS if smoke else config.conditions
    seeds = range(min(2, config.seeds) if smoke else config.seeds)
    book = RowBook(config.run / "rows.jsonl")
    _tell_old_revisions(book)
    rows = []
    for task in tasks:
        rows += paired_baselines(
            task,
            seeds,
            config.protocol,
            conditions,
            config.workers,
            book=book,
            steps=10 if smoke else None,
        )
    result = make_result("baselines", config, config.protocol, rows)
    result.save(config.out or (config.run / "smoke.json" if smoke else DEFAULT_OUT))
    return result


def _tell_old_revisions(book: RowBook) -> None:
    old = [revision for revision in book.revisions() if revision != git_revision()]
    if old:
        print(
            f"Finished episodes in {book.path} were measured at {', '.join(r[:12] for r in old)} "
            "and are kept; remove the file to measure all of them again.",
            file=sys.stderr,
        )
