"""The stages that every recipe is composed of: collect, encode, train."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.envs.dmc.environment import make
from foresight.envs.dmc.tasks import canonical
from foresight.envs.render import RenderSettings
from foresight.evaluation.statistics import Row
from foresight.experts import has_expert
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_dataset
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.training.experience import Experience
from foresight.training.offline import HorizonError, TrainConfig, Trained, train_world_model
from foresight.worldmodel.config import CameraInput, WorldModelConfig

FIRST_SEED = 20_000
"""Data seeds start here: evaluation uses 0 and up, the search of constants 10,000 and up."""


@dataclass(frozen=True)
class DataPlan:
    """Which episodes to collect."""

    task: str
    """For example reacher-easy."""
    episodes: int = 300
    """How many."""
    behaviours: tuple[str, ...] = ()
    """Taken in turn; empty chooses by task: see `default_behaviours`."""
    protocol: str = "seed200"
    """seed200 or dmc1000."""
    steps: int | None = None
    """Cut episodes short: more different scenes for the same number of frames."""
    camera: int = 0
    """Camera number."""
    quality: str = "smooth"
    """fast, smooth or full."""
    look: str = "plain"
    """plain or varied."""
    first_seed: int = FIRST_SEED
    """Seed of the first episode."""

    def render(self, size: int) -> RenderSettings:
        """Frames of the size that the encoder takes."""
        return RenderSettings(size, self.camera, self.quality, self.look)  # type: ignore[arg-type]

    def specs(self, size: int) -> list[EpisodeSpec]:
        """One spec per episode, in order.

        Raises:
            ForesightError: unknown task, behaviour or protocol, or no episodes.
        """
        if self.episodes < 1:
            raise ForesightError(f"{self.episodes} episodes were asked for: collect at least 1.")
        task = canonical(self.task)
        behaviours = self.behaviours or default_behaviours(task)
        render = self.render(size)
        return [
            EpisodeSpec(
                task,
                self.first_seed + index,
                behaviours[index % len(behaviours)],
                self.protocol,
                render,
                self.steps,
            )
            for index in range(self.episodes)
        ]


def default_behaviours(task: str) -> tuple[str, ...]:
    """A third random, the rest the task's expert (or oracle, or nothing) at ε = 0.3."""
    for teacher in ("expert", "oracle"):
        if has_expert(teacher, task):
            return ("random", f"eps:0.3:{teacher}", f"eps:0.3:{teacher}")
    return ("random",)


def gather(
    plan: DataPlan, eyes: EncoderConfig, folder: Path, workers: int
) -> tuple[Dataset, FeatureCache]:
    """Collect the planned episodes into ``folder/data`` and encode them into ``folder/cache``.

    Both resume: what is finished is not done again.
    """
    encoder, readout = eyes.load()
    store = collect(folder / "data", plan.specs(readout.frame_size(encoder)), workers)
    return store, encode_dataset(store, encoder, readout, folder / "cache")


def model_base(
    task: str, store: Dataset, cache: FeatureCache, eyes: EncoderConfig
) -> WorldModelConfig:
    """Sizes and fingerprints that a world model of this data carries."""
    encoder, readout = eyes.load()
    env = make(task, render=None)
    low, high = env.action_space.low, env.action_space.high
    env.close()
    return WorldModelConfig(
        task=canonical(task),
        cameras=(
            CameraInput("camera", 1, int(cache.array.reshape(len(cache.array), -1).shape[1])),
        ),
        actions=len(low),
        action_low=tuple(float(v) for v in low),
        action_high=tuple(float(v) for v in high),
        encoder=encoder.name,
        encoder_fingerprint=encoder.fingerprint,
        readout=eyes.readout,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint=store.fingerprint,
    )


def learn(
    store: Dataset,
    cache: FeatureCache,
    eyes: EncoderConfig,
    config: TrainConfig,
    folder: Path,
    tensorboard: bool = False,
) -> Trained:
    """Train a world model on one dataset's features; resumable."""
    task = store.metas[0].task
    experience = Experience.load(store, cache, config.validation, config.fit.seed)
    return train_world_model(
        experience, model_base(task, store, cache, eyes), config, folder, tensorboard
    )


def horizon_rows(task: str, errors: Sequence[HorizonError]) -> list[Row]:
    """Measurement rows of the error at each horizon, one per held-out episode."""
    return [
        {
            "measure": "prediction-error",
            "task": task,
            "condition": condition,
            "horizon": entry.horizon,
            "value": value,
        }
        for entry in errors
        for condition, values in (("model", entry.model), ("persistence", entry.persistence))
        for value in values
    ]


def default_workers() -> int:
    """One process a core."""
    return os.cpu_count() or 1
