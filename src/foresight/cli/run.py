"""``foresight run``: the whole road."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result
from foresight.perception.config import EncoderConfig


@dataclass(frozen=True)
class Config:
    """Learn one task from pixels, plan in what was learned, evaluate, report; resumes.

    By default the agent learns by acting and imagines before each action (`foresight learn` does
    the same for many tasks). The goal-image agent collects at random,
    trains a world model on cached features and plans towards a picture of the goal.
    """

    task: Annotated[str, tyro.conf.Positional]
    """Task id, for example reacher-easy."""
    preset: Literal["demo", "full", "smoke"] = "demo"
    """demo: within 15 minutes on two cores for reacher-easy; full: as in the results; smoke: under
    a minute, to see that everything runs."""
    agent: Literal["imagining", "goal-image"] = "imagining"
    """Who acts."""
    out: Path | None = None
    """Folder of the run; runs/TASK-PRESET if not given, with -goal-image for that agent."""
    eyes: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    episodes: int | None = None
    """Episodes that the goal-image agent collects, if not the preset's number."""
    steps: int | None = None
    """Environment steps that the imagining agent learns from, if not the preset's number."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Go the road and print the table."""
    from foresight.envs.dmc.tasks import canonical
    from foresight.pipelines.stages import default_workers
    from foresight.report.tables import print_result

    ending = "" if config.agent == "imagining" else f"-{config.agent}"
    folder = config.out or Path("runs") / f"{canonical(config.task)}-{config.preset}{ending}"
    go = _imagining if config.agent == "imagining" else _goal_image
    result = go(config, folder, config.workers or default_workers())
    print_result(result)
    print(f"result: {folder / 'result.json'}\nreport: {folder / 'report.html'}")


def _imagining(config: Config, folder: Path, workers: int) -> Result:
    from foresight.pipelines.learn import road, road_config

    usual = EncoderConfig()
    for name, given, known in (
        ("--readout", config.eyes.readout, usual.readout),
        ("--device", config.eyes.device, usual.device),
        ("--episodes", config.episodes, None),
    ):
        if given != known:
            raise ForesightError(
                f"{name} {given} is a setting of the goal-image agent: add --agent goal-image, or "
                f"leave it out; the imagining agent reads all tokens, on the CPU, for --steps."
            )
    sizes = road_config(config.task, config.preset)
    sizes = replace(sizes, learn=replace(sizes.learn, encoder=config.eyes.encoder))
    if config.steps is not None:
        sizes = replace(sizes, learn=replace(sizes.learn, steps=config.steps))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    return road(sizes, folder, workers)


def _goal_image(config: Config, folder: Path, workers: int) -> Result:
    from foresight.pipelines.goal_image import make_config, run

    sizes = replace(make_config(config.task, config.preset), eyes=config.eyes)
    if config.episodes is not None:
        sizes = replace(sizes, data=replace(sizes.data, episodes=config.episodes))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    return run(sizes, folder, workers)
