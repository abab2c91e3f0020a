"""``foresight run``: the whole road."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.perception.eyes import Eyes


@dataclass(frozen=True)
class Config:
    """Collect, encode, train, plan, evaluate and report one task; resumes where it stopped."""

    task: Annotated[str, tyro.conf.Positional]
    """Task id, for example reacher-easy."""
    preset: Literal["demo", "full", "smoke"] = "demo"
    """demo: within 15 minutes on two cores; full: more data and a larger search; smoke: under a
    minute, to see that everything runs."""
    out: Path | None = None
    """Folder of the run; runs/TASK-PRESET if not given."""
    eyes: tyro.conf.OmitArgPrefixes[Eyes] = field(default_factory=Eyes)
    episodes: int | None = None
    """Episodes to collect, if not the preset's number."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Go the road and print the table."""
    from foresight.recipes.road import make_config, run
    from foresight.report.tables import print_result

    road = replace(make_config(config.task, config.preset), eyes=config.eyes)
    if config.episodes is not None:
        road = replace(road, data=replace(road.data, episodes=config.episodes))
    if config.seeds is not None:
        road = replace(road, seeds=config.seeds)
    folder = config.out or Path("runs") / f"{road.data.task}-{config.preset}"
    result = run(road, folder, config.workers)
    print_result(result)
    print(f"result: {folder / 'result.json'}\nreport: {folder / 'report.html'}")
