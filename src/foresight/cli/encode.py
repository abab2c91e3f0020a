"""``foresight encode``: frames to cached features."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.perception.config import EncoderConfig


@dataclass(frozen=True)
class Config:
    """Read a dataset with the frozen encoder, once; resumes where it stopped."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of a dataset that `foresight collect` wrote."""
    encoder: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    cache: Path | None = None
    """Where feature caches live; the folder `cache` beside the dataset if not given."""


def main(config: Config) -> None:
    """Encode and say where the features are."""
    from foresight.data.store import EpisodeStore
    from foresight.perception.encode import encode_dataset

    store = EpisodeStore.open(config.dataset)
    encoder, readout = config.encoder.load()
    root = config.cache or config.dataset.parent / "cache"
    cache = encode_dataset(store, encoder, readout, root)
    print(
        f"{cache.path}: {len(cache.array)} steps of {cache.array.shape[1:]} features from "
        f"{encoder.name}, readout {config.encoder.readout}"
    )
