"""``foresight teach``: show a task once, and watch the robot do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Config:
    """Show the robot one video of a task, let it do the same, and film it.

    It needs a model that `foresight learn TASK` has learned. From what that model has seen it
    learns once, without any reward, how far states are from each other and which action leads from
    one to another; then it follows the demonstration by imagining. The film shows demonstration,
    robot and imagined future side by side.
    """

    task: Annotated[str, tyro.conf.Positional]
    """Task id, for example reacher-easy."""
    demo: str | None = None
    """The demonstration: a video file, or FOLDER:INDEX of a dataset; without it the task's expert
    or oracle records one."""
    model: Path | None = None
    """Folder of the learned model; runs/planning/TASK/model if not given."""
    case: Literal["faithful", "start-shifted", "goal-shifted"] = "faithful"
    """Begin as the demonstration did, from elsewhere, or with the goal moved."""
    way: Literal["plan", "inverse"] = "inverse"
    """inverse asks the inverse model alone; plan imagines and chooses, which earns no more."""
    seed: int | None = None
    """Scene to act in; that of the demonstration if it is known, else 0."""
    encoder: str = "foresight-small"
    """The model's eyes."""
    device: str = "cpu"
    """Where encoder, model and planner run: cpu, cuda, cuda:1, …, or auto."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: heads that learn for a moment, and 20 steps, to see that everything runs."""
    out: Path | None = None
    """The film; runs/teach/TASK-CASE.mp4 if not given."""


def main(config: Config) -> None:
    """Show, act, film and say how it went."""
    from foresight.envs.dmc.tasks import canonical, resolve
    from foresight.pipelines import demonstrations
    from foresight.pipelines import teach as teach_play

    resolve(config.task)
    task = canonical(config.task)
    request = teach_play.TeachRequest(
        task=task,
        model=config.model or Path("runs/planning") / task / "model",
        demo=config.demo,
        case=config.case,
        way=config.way,
        seed=config.seed,
        device=config.device,
        sizes=replace(demonstrations.presets()[config.preset], encoder=config.encoder),
    )
    out = config.out or Path("runs/teach") / f"{task}-{config.case}.mp4"
    teach_play.teach_once(request, out, out.parent)
