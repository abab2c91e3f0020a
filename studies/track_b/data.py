"""So many hours of one task, recorded; a stopped recording goes on."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from foresight.data.dataset import Dataset
from foresight.envs.interface import spec_of
from foresight.envs.registry import EnvConfig
from foresight.experts import has_expert
from foresight.rollout.collect import collect, default_policies, plan_episodes

LOOK = 4
"""Episodes from which it is seen how long one is."""
NEAR = 0.98
"""Share of the hours that is enough."""


@dataclass(frozen=True)
class Recording:
    """What is recorded."""

    task: str
    hours: float
    seconds: float = 20.0
    """Of an episode, at most; environments may end it sooner."""
    policies: tuple[str, ...] = ("noisy:0.6:expert",)
    """Taken in turn, where the task has an expert; otherwise what `foresight collect` takes."""

    @property
    def behaviour(self) -> tuple[str, ...]:
        """The policies that act."""
        known = has_expert("expert", self.task) or not any("expert" in p for p in self.policies)
        return self.policies if known else default_policies(self.task)


def hours_of(dataset: Dataset) -> float:
    """How much is recorded."""
    return sum(dataset.lengths) / dataset.spec.fps / 3600


def record(recording: Recording, size: int, folder: Path, workers: int) -> Dataset:
    """Collect until there are enough hours.

    How many episodes that takes is seen from the first ones, and corrected where later ones are
    shorter: a plan that grows keeps its beginning.

    Args:
        recording: what.
        size: of the frames, in pixels.
        folder: of the dataset.
        workers: processes.

    Raises:
        ForesightError: an unknown task or policy, or as `collect`.
    """
    env = EnvConfig(recording.task, size=size)
    with_steps = _most_steps(env, recording.seconds)

    def plan(episodes: int) -> Dataset:
        specs = plan_episodes(env, episodes, recording.behaviour, max_steps=with_steps)
        return collect(folder, specs, workers)

    count = Dataset.open(folder) if (folder / "meta" / "info.json").exists() else None
    store = plan(max(LOOK, 0 if count is None else len(count)))
    while hours_of(store) < NEAR * recording.hours:
        missing = recording.hours / hours_of(store)
        store = plan(max(len(store) + 1, math.ceil(len(store) * missing)))
    return store


def _most_steps(env: EnvConfig, seconds: float) -> int:
    with closing(env.make()) as made:
        return max(1, round(seconds * spec_of(made).fps))
