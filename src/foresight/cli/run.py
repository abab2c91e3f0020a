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
    """From nothing to a page with films: learn a task, measure the agent, report.

    It is `foresight learn` for one task, with a page, films and one lesson by showing at the end;
    a killed run goes on where it was. The goal-image agent collects at random, trains a world model
    on cached features and plans towards a picture of the goal. Tasks of Meta-World are shown by
    their experts, and one policy of action chunks learns all that are named.
    """

    task: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Task id, for example reacher-easy; several of Meta-World or LIBERO, for example
    metaworld/push."""
    preset: Literal["demo", "full", "smoke"] = "demo"
    """demo: minutes on two cores, eight for cartpole-swingup; full: as in the results; smoke: under
    a minute, to see that everything runs."""
    agent: Literal["online", "goal-image", "demonstrated"] | None = None
    """Who acts; demonstrated if not given where the tasks are Meta-World's or LIBERO's, else
    online."""
    beside: Literal["taught", "mpc", "sac"] | None = None
    """Another way to learn, see --method: an agent that learns so in a process of its own at the
    same time, for as many steps, and is measured beside."""
    out: Path | None = None
    """Folder of the run; runs/TASK-PRESET if not given, with the agent's name behind it where it
    is not the usual one of the task."""
    online: tyro.conf.OmitArgPrefixes[OnlineChanges] = field(default_factory=OnlineChanges)
    readout: str | None = None
    """How the goal-image agent pools tokens, if not tubelet; see `foresight encode --help`."""
    episodes: int | None = None
    """Episodes that the goal-image agent collects, or demonstrations of each task, if not the
    preset's number."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Go the road and print the table."""
    from foresight.envs.factories import full_id
    from foresight.pipelines.demonstrated import SUITES
    from foresight.pipelines.stages import default_workers
    from foresight.report.tables import print_result
    from foresight.training.task_settings import folder_name

    tasks = tuple(dict.fromkeys(config.task))
    shown = bool(tasks) and any(
        all(full_id(task).startswith(suite) for task in tasks) for suite in SUITES
    )
    usual = "demonstrated" if shown else "online"
    agent = config.agent or usual
    if not tasks or (len(tasks) > 1 and agent != "demonstrated"):
        raise ForesightError(
            f"{len(tasks)} tasks were named, and the agent {agent} learns one: name one, or "
            "several such as metaworld/push metaworld/reach, which are shown by their experts."
        )
    if agent == "demonstrated" and not shown:
        raise ForesightError(
            f"{' '.join(tasks)}: the agent {agent} is for tasks of Meta-World or of LIBERO; give "
            "recordings of other robots to `foresight train --policy chunk`."
        )
    if config.beside and agent != "online":
        raise ForesightError(
            f"--beside {config.beside} is for agents that learn by acting, and {agent} does not: "
            "leave it out."
        )
    ending = "" if agent == usual else f"-{agent}"
    name = "+".join(folder_name(task) for task in tasks)
    folder = config.out or Path("runs") / f"{name}-{config.preset}{ending}"
    go = {"online": _online, "goal-image": _goal_image, "demonstrated": _demonstrated}[agent]
    config = replace(config, task=tasks)
    result = go(config, folder, config.workers or default_workers())
    print_result(result)
    print(f"result: {folder / 'result.json'}\nreport: {folder / 'report.html'}")


def _demonstrated(config: Config, folder: Path, workers: int) -> Result:
    from foresight.pipelines.demonstrated import presets, road

    sizes = presets(config.task)[config.preset]
    changes = _only(config, "what demonstrations show", {"encoder", "device"})
    sizes = replace(
        sizes,
        encoder=changes.encoder or sizes.encoder,
        device=changes.device or sizes.device,
        readout=config.readout or sizes.readout,
        episodes=config.episodes or sizes.episodes,
        seeds=config.seeds or sizes.seeds,
    )
    return road(sizes, folder, workers)


def _only(config: Config, agent: str, allowed: set[str]) -> OnlineChanges:
    """The changes, of which another agent than ``online`` takes few."""
    given = {name for name, value in asdict(config.online).items() if value not in (None, False)}
    for name in sorted(given - allowed):
        raise ForesightError(
            f"--{name.replace('_', '-')} is a setting of the agent that learns by acting: leave "
            f"it out, or {agent}, which is another agent."
        )
    return config.online


def _online(config: Config, folder: Path, workers: int) -> Result:
    from foresight.pipelines.road import beside_config, road, road_config

    for name, given in (("readout", config.readout), ("episodes", config.episodes)):
        if given is not None:
            raise ForesightError(
                f"--{name} {given} is a setting of the goal-image agent: add --agent goal-image, "
                "or leave it out; the agent that learns by acting reads all tokens, for --steps."
            )
    sizes = road_config(config.task[0], config.preset, config.online.method or "taught")
    sizes = replace(sizes, online=config.online.applied(sizes.online))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    beside = beside_config(sizes, config.preset, config.beside) if config.beside else None
    return road(sizes, folder, workers, beside)


def _goal_image(config: Config, folder: Path, workers: int) -> Result:
    from foresight.perception.config import EncoderConfig
    from foresight.pipelines.goal_image import make_config, run

    changes = _only(config, "--agent goal-image", {"encoder", "device"})
    usual = EncoderConfig()
    eyes = replace(
        usual,
        encoder=changes.encoder or usual.encoder,
        device=changes.device or usual.device,
        readout=config.readout or usual.readout,
    )
    sizes = replace(make_config(config.task[0], config.preset), eyes=eyes)
    if config.episodes is not None:
        sizes = replace(sizes, data=replace(sizes.data, episodes=config.episodes))
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    return run(sizes, folder, workers)
