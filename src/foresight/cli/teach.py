"""``foresight teach``: show a task once, and watch the robot do it."""

from __future__ import annotations

from dataclasses import dataclass
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
    way: Literal["plan", "inverse"] = "plan"
    """plan imagines and chooses; inverse asks the inverse model alone."""
    seed: int | None = None
    """Scene to act in; that of the demonstration if it is known, else 0."""
    encoder: str = "foresight-small"
    """The model's eyes."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: heads that learn for a moment, and 20 steps, to see that everything runs."""
    out: Path | None = None
    """The film; runs/teach/TASK-CASE.mp4 if not given."""


def main(config: Config) -> None:
    """Show, act, film and say how it went."""
    from foresight.agents.teaching import TaughtAgent, open_demonstration, taught_heads
    from foresight.envs.shifts import Shift
    from foresight.envs.tasks import canonical, resolve
    from foresight.perception.encoder import load_encoder
    from foresight.recipes import teach, teach_play
    from foresight.recipes.assess import camera
    from foresight.worldmodel.joint import JointModel

    resolve(config.task)
    task, sizes = canonical(config.task), teach.presets()[config.preset]
    place = config.model or Path("runs/planning") / task / "model"
    model, encoder = JointModel.load(place), load_encoder(config.encoder)
    out = config.out or Path("runs/teach") / f"{task}-{config.case}.mp4"
    spec = config.demo
    if spec is None:
        spec = str(out.parent / f"{task}-demonstration-{config.seed or 0}.mp4")
        best = teach_play.record_video(
            task,
            teach.teacher_of(task),
            config.seed or 0,
            camera(config.encoder),
            sizes.steps,
            Path(spec),
        )
        print(f"demonstration: {spec}, return {best:.1f}")
    demonstration = open_demonstration(spec)
    heads, report = taught_heads(place, sizes.heads)
    print(f"heads on held-out episodes: inverse model R² {report.inverse_r2:.2f}", end=", ")
    print(f"distance in time, rank correlation {report.reach_rank:.2f}")
    agent = TaughtAgent(model, heads, encoder, sizes.follow, config.way)
    agent.show(demonstration)
    for warning in agent.warnings:
        print(f"warning: {warning}")
    seed = config.seed if config.seed is not None else demonstration.seed or 0
    album = teach_play.album_of(agent, demonstration, seed, out.parent / task, sizes.steps)
    played = teach_play.play(agent, demonstration, Shift(config.case), seed, album, sizes.steps)
    teach_play.save_film(played, out)
    print(
        f"{config.case}, seed {seed}: return {played.return_:.1f}, {played.progress:.0%} of the "
        f"demonstration followed, lost in {played.lost:.0%} of the decisions"
    )
    print(f"film (demonstration | robot | imagined): {out}")
