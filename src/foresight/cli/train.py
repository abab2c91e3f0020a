"""``foresight train``: learn what actions change."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from foresight.perception.config import EncoderConfig
from foresight.training.offline import TrainConfig


@dataclass(frozen=True)
class Config:
    """Train a world model, one network or an ensemble, on a dataset.

    Encodes the dataset first if need be, and resumes where it stopped.
    """

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of a dataset that `foresight collect` wrote."""
    out: Path
    """Folder of the checkpoint."""
    eyes: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    members: int | None = None
    """Networks in the ensemble, short for --train.dynamics.members."""
    cache: Path | None = None
    """Where feature caches live; the folder `cache` beside the dataset if not given."""
    tensorboard: bool = False
    """Also log to TensorBoard."""


def main(config: Config) -> None:
    """Train and print the error at each horizon beside persistence."""
    from foresight.data.dataset import Dataset
    from foresight.perception.encode import encode_dataset
    from foresight.pipelines.stages import learn

    store = Dataset.open(config.dataset)
    encoder, readout = config.eyes.load()
    root = config.cache or config.dataset.parent / "cache"
    cache = encode_dataset(store, encoder, readout, root)
    settings = config.train
    if config.members is not None:
        settings = replace(settings, dynamics=replace(settings.dynamics, members=config.members))
    trained = learn(store, cache, config.eyes, settings, config.out, config.tensorboard)
    print("horizon  model    persistence  (squared error / variance, held-out episodes)")
    for row in trained.horizon_errors:
        model, still = (sum(v) / len(v) for v in (row.model, row.persistence))
        print(f"{row.horizon:7d}  {model:.4f}   {still:.4f}")
    print(f"checkpoint: {config.out}")
