"""``foresight collect``: record episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Config:
    """Record episodes of a task into a LeRobotDataset v3.0 folder; resumes where it stopped."""

    task: Annotated[str, tyro.conf.Positional]
    """Task id, for example reacher-easy."""
    out: Path
    """Folder of the dataset."""
    episodes: int = 100
    """How many episodes the dataset shall hold."""
    behaviours: tuple[str, ...] = ()
    """Taken in turn: zero, random, constant:0.5, expert, oracle, eps:0.3:expert. Empty: a
    third random, the rest the best teacher of the task at epsilon 0.3."""
    protocol: Literal["seed200", "dmc1000"] = "seed200"
    """200 steps without, or 1000 steps with action repeat 2."""
    steps: int | None = None
    """Cut episodes after this many decisions."""
    size: int = 64
    """Frame height and width in pixels; must be what the encoder takes."""
    camera: int = 0
    """Camera number."""
    quality: Literal["fast", "smooth", "full"] = "smooth"
    """fast: no shadows, reflections or multisampling; smooth: fast at twice the size, averaged;
    full: dm_control's own pictures."""
    look: Literal["plain", "varied"] = "plain"
    """varied: other colours, light and camera in every episode, for pretraining."""
    seed: int = 20_000
    """Seed of the first episode."""
    workers: int | None = None
    """Processes; one a core if not given. The data do not depend on it."""


def main(config: Config) -> None:
    """Collect and say what is there."""
    from foresight.pipelines.stages import DataPlan, default_workers
    from foresight.rollout.collect import collect

    plan = DataPlan(
        task=config.task,
        episodes=config.episodes,
        behaviours=config.behaviours,
        protocol=config.protocol,
        steps=config.steps,
        camera=config.camera,
        quality=config.quality,
        look=config.look,
        first_seed=config.seed,
    )
    store = collect(config.out, plan.specs(config.size), config.workers or default_workers())
    returns = [meta.return_ or 0.0 for meta in store.metas]
    print(
        f"{config.out}: {len(store)} episodes, {sum(store.lengths)} steps, mean return "
        f"{sum(returns) / len(returns):.1f}"
    )
