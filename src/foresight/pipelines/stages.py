"""The stages that every recipe is composed of: collect, encode, train."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np

from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.evaluation.statistics import Row
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_dataset
from foresight.policies.cloned import ClonedPolicy, CloningConfig
from foresight.rollout.collect import FIRST_SEED, collect, plan_episodes
from foresight.rollout.episode import EpisodeSpec
from foresight.training.cloning import CloningTraining, train_cloning
from foresight.training.experience import Experience
from foresight.training.loop import Record
from foresight.training.offline import HorizonError, TrainConfig, Trained, train_world_model
from foresight.worldmodel.actions import action_bounds
from foresight.worldmodel.config import CameraInput, StateEncoderConfig, WorldModelConfig


@dataclass(frozen=True)
class DataPlan:
    """Which episodes to collect."""

    task: str
    """For example reacher-easy."""
    episodes: int = 300
    """How many."""
    policies: tuple[str, ...] = ()
    """Taken in turn; empty chooses by task: see `foresight.rollout.collect.default_policies`."""
    protocol: str = "seed200"
    """seed200 or dmc1000."""
    steps: int | None = None
    """Cut episodes short: more different scenes for the same number of frames."""
    quality: Literal["fast", "smooth", "full"] = "smooth"
    """How carefully a simulator draws."""
    look: Literal["plain", "varied"] = "plain"
    """plain or varied."""
    first_seed: int = FIRST_SEED
    """Seed of the first episode."""

    def env(self, size: int) -> EnvConfig:
        """The environment with frames of the size that the encoder takes."""
        return EnvConfig(self.task, self.protocol, size=size, quality=self.quality, look=self.look)

    def specs(self, size: int) -> list[EpisodeSpec]:
        """One spec per episode, in order.

        Raises:
            ForesightError: unknown task, or no episodes.
        """
        turns, first = self.policies, self.first_seed
        return plan_episodes(self.env(size), self.episodes, turns, first, self.steps)


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
    dataset: Dataset, caches: FeatureCache | Mapping[str, FeatureCache], eyes: EncoderConfig
) -> WorldModelConfig:
    """Sizes, action scale and fingerprints that a model of this data carries.

    Args:
        dataset: of any robot; actions without bounds are scaled by their range in it.
        caches: its features, of its first camera or of each camera by its name.
        eyes: what they were made with.
    """
    encoder, readout = eyes.load()
    named = caches if isinstance(caches, Mapping) else {next(iter(dataset.spec.cameras)): caches}
    cameras = []
    for name, cache in named.items():
        width = int(np.prod(cache.array.shape[1:]))
        patches = width // encoder.dim if width % encoder.dim == 0 else 1
        cameras.append(CameraInput(name, patches, width // patches))
    spec = dataset.spec
    low, high = action_bounds(spec, dataset.column("action").reshape(-1, len(spec.action)))
    return WorldModelConfig(
        task=dataset.tasks[0] if dataset.tasks else "",
        cameras=tuple(cameras),
        actions=len(low),
        action_low=low,
        action_high=high,
        proprio=len(spec.state),
        encoder=eyes.encoder,
        encoder_fingerprint=encoder.fingerprint,
        readout=eyes.readout,
        readout_fingerprint=readout.fingerprint,
        dataset_fingerprint=dataset.fingerprint,
        spec=spec,
    )


def learn(
    dataset: Dataset,
    caches: FeatureCache | Mapping[str, FeatureCache],
    eyes: EncoderConfig,
    config: TrainConfig,
    folder: Path,
    tensorboard: bool = False,
) -> Trained:
    """Train a world model on one dataset's features; resumable."""
    experience = Experience.load(dataset, caches, config.validation, config.fit.seed)
    base = model_base(dataset, caches, eyes)
    return train_world_model(experience, base, config, folder, tensorboard)


def clone(
    dataset: Dataset,
    caches: FeatureCache | Mapping[str, FeatureCache],
    eyes: EncoderConfig,
    state: StateEncoderConfig,
    config: CloningTraining,
    folder: Path,
) -> tuple[ClonedPolicy, list[Record]]:
    """Clone the policy that a dataset shows; resumable."""
    experience = Experience.load(dataset, caches, config.validation, config.fit.seed)
    base = model_base(dataset, caches, eyes)
    shared = {
        item.name: getattr(base, item.name)
        for item in fields(CloningConfig)
        if item.name != "state"
    }
    return train_cloning(experience, CloningConfig(**shared, state=state), config, folder)


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
