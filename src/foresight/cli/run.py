"""``foresight run``: learn one task, measure the agent, write a page about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result
from foresight.training.online_changes import OnlineChanges


@dataclass(frozen=True)
class Config:
    """From nothing to a page with films: learn one task by acting, measure the agent, report.

    It is `foresight learn` for one task, with a page, films and one lesson by showing at the end;
    a killed run goes on where it was. The goal-image agent collects at random, trains a world model
    on cached features and plans towards a picture of the goal.
    """

    task: Annotated[str, tyro.conf.Positional]
    """Task id, for example reacher-easy."""
    preset: Literal["demo", "full", "smoke"] = "demo"
    """demo: within 15 minutes on two cores for reacher-easy; full: as in the results; smoke: under
    a minute, to see that everything runs."""
    agent: Literal["online", "goal-image"] = "online"
    """Who acts."""
    out: Path | None = None
    """Folder of the run; runs/TASK-PRESET if not given, with -goal-image for that agent."""
    online: tyro.conf.OmitArgPrefixes[OnlineChanges] = field(default_factory=OnlineChanges)
    readout: str | None = None
    """How the goal-image agent pools tokens, if not tubelet; see `foresight encode --help`."""
    episodes: int | None = None
    """Episodes that the goal-image agent collects, if not the preset's number."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Go the road and print the table."""
    from foresight.pipelines.stages import default_workers
    from foresight.report.tables import print_result
    from foresight.training.task_settings import folder_name

    ending = "" if config.agent == "online" else f"-{config.agent}"
    folder = config.out or Path("runs") / f"{folder_name(config.task)}-{config.preset}{ending}"
    go = _online if config.agent == "online" else _goal_image
    result = go(config, folder, config.workers or default_workers())
    print_result(result)
    print(f"result: {folder / 'result.json'}\nreport: {folder / 'report.html'}")


def _online(config: Config, folder: Path, workers: int) -> Result:
    from foresight.pipelines.learn import road, road_config

    for name, given in (("readout", config.readout), ("episodes", config.episodes)):
        if given is not None:
            raise ForesightError(
                f"--{name} {given} is a setting of the goal-image agent: add --agent goal-image, "
                "or leave it out; the agent that learns by acting reads all tokens, for --steps."
            )
    sizes = road_config(config.task, config.preset)
    sizes = replace(sizes, online=config.online.applied(sizes.online))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    return road(sizes, folder, workers)


def _goal_image(config: Config, folder: Path, workers: int) -> Result:
    from foresight.perception.config import EncoderConfig
    from foresight.pipelines.goal_image import make_config, run

    changes = config.online
    given = {name for name, value in asdict(changes).items() if value is not None}
    for name in sorted(given - {"encoder", "device"}):
        raise ForesightError(
            f"--{name.replace('_', '-')} is a setting of the agent that learns by acting: leave "
            "out --agent goal-image, or that."
        )
    usual = EncoderConfig()
    eyes = replace(
        usual,
        encoder=changes.encoder or usual.encoder,
        device=changes.device or usual.device,
        readout=config.readout or usual.readout,
    )
    sizes = replace(make_config(config.task, config.preset), eyes=eyes)
    if config.episodes is not None:
        sizes = replace(sizes, data=replace(sizes.data, episodes=config.episodes))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    return run(sizes, folder, workers)
