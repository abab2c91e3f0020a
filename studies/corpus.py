"""The frames that ``foresight-small`` was pretrained on: which episodes, seen how."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np

from foresight.core.episode import Episode
from foresight.core.progress import track
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.envs.dmc.scenes import SceneRenderer, draw_scene, scene_labels
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.envs.registry import EnvConfig
from foresight.rollout.collect import collect, plan_episodes
from foresight.rollout.episode import EpisodeSpec

FIRST_SEED = 500_000
"""Far from the seeds of data, constants and evaluation: no frame of these is seen elsewhere."""

EXTRA_TASKS = (
    "pendulum-swingup",
    "acrobot-swingup",
    "cartpole-two_poles",
    "finger-turn_hard",
    "swimmer-swimmer6",
    "fish-swim",
    "manipulator-bring_ball",
    "quadruped-walk",
)
WANDERING = ("ar1:0.9", "random", "ar1:0.97", "ar1:0.8")
TEACHERS = {
    "reacher-easy": ("expert", "eps:0.3:expert"),
    "point_mass-easy": ("expert", "eps:0.3:expert"),
}
"""Cheap teachers, taken in turn with what wanders; the other tasks have oracle episodes."""


SCENES = 2500
SCENE_FRAMES = 8
SCENE_STEP = 0.05
"""Scenes of single objects: how many, how long, and the seconds between their frames."""


@dataclass(frozen=True)
class Part:
    """Episodes of one task that look alike; one dataset folder."""

    task: str
    camera: int
    look: Literal["plain", "varied"]
    episodes: int
    behaviours: tuple[str, ...]
    steps: int

    @property
    def name(self) -> str:
        """Folder name."""
        who = "-oracle" if self.behaviours == ("oracle",) else ""
        return f"{self.task}-camera{self.camera}-{self.look}{who}"

    def specs(self, size: int, first_seed: int) -> list[EpisodeSpec]:
        """The episodes, seeds counted from ``first_seed``."""
        env = EnvConfig.of(
            self.task, size=size, quality="smooth", look=self.look, camera=self.camera
        )
        return plan_episodes(env, self.episodes, self.behaviours, first_seed, self.steps)


def parts(scale: float = 1.0) -> Iterator[Part]:
    """All parts; ``scale`` multiplies the numbers of episodes (at least one stays)."""

    def count(episodes: int) -> int:
        return max(1, round(episodes * scale))

    for task in MEASURED_TASKS:
        turns = (*WANDERING, *TEACHERS.get(task, ()))
        yield Part(task, 0, "plain", count(100), turns, 100)
        yield Part(task, 0, "varied", count(60), turns, 100)
        yield Part(task, 1, "varied", count(20), turns, 100)
    for task in EXTRA_TASKS:
        yield Part(task, 0, "plain", count(16), WANDERING, 100)
        yield Part(task, 0, "varied", count(24), WANDERING, 100)
        yield Part(task, 1, "varied", count(16), WANDERING, 100)
    for task in MEASURED_TASKS:
        if task not in TEACHERS:
            yield Part(task, 0, "plain", count(6), ("oracle",), 100)


def collect_corpus(
    folder: Path | str, size: int = 64, scale: float = 1.0, workers: int = 2, most: int = 999
) -> list[Dataset]:
    """Collect every part (or the first ``most``) below ``folder``, and scenes; resumes.

    Returns:
        The datasets: the source tasks as they are, in their order, then all others by name.

    Raises:
        ForesightError: as `foresight.rollout.collect.collect`.
    """
    stores, seed = [], FIRST_SEED
    for part in islice(parts(scale), most):
        stores.append(collect(Path(folder) / part.name, part.specs(size, seed), workers))
        seed += 10_000  # parts never share an initial state, whatever their sizes
    scenes = max(1, round(SCENES * scale))
    stores.append(collect_scenes(Path(folder) / "scenes", scenes, size))
    plain = [f"{task}-camera0-plain" for task in MEASURED_TASKS]
    first = [store for name in plain for store in stores if store.path.name == name]
    rest = [store for store in stores if store.path.name not in plain]
    return first + sorted(rest, key=lambda store: store.path.name)


def collect_scenes(folder: Path, count: int, size: int = 64) -> Dataset:
    """Rendered scenes of one moving object as short episodes without actions; resumes.

    What is recorded as proprioception are the labels of `foresight.envs.dmc.scenes`, at every step
    those of the whole scene (of its last frame).
    """
    labels = len(scene_labels(draw_scene(FIRST_SEED, 0, SCENE_FRAMES)))
    spec = Spec(
        {"camera": (size, size)},
        numbered_axes("label", labels),
        numbered_axes("action", 1),
        1 / SCENE_STEP,
    )
    store = Dataset.open_or_create(folder, spec)
    renderer = SceneRenderer(size)
    with store, closing(renderer):
        for index in track(range(len(store), count), "scenes", count - len(store)):
            scene = draw_scene(FIRST_SEED, index, SCENE_FRAMES)
            store.append(
                Episode(
                    images={"camera": renderer.render(scene)},
                    state=np.tile(scene_labels(scene).astype(np.float32), (SCENE_FRAMES, 1)),
                    action=np.zeros((SCENE_FRAMES, 1), np.float32),
                    reward=None,
                    terminated=False,
                    task="scenes",
                    fps=spec.fps,
                    info={"seed": index, "policy": "none"},
                )
            )
        store.finish()
    return store
