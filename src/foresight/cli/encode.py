"""``foresight encode``: frames to cached features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro

from foresight.perception.config import EncoderConfig


@dataclass(frozen=True)
class Config:
    """Read a dataset with the frozen encoder, once; resumes where it stopped."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of a LeRobot dataset, from `foresight collect` or anybody else."""
    encoder: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    cameras: tuple[str, ...] = ()
    """Names of the cameras to encode; all of them if none is named."""
    cache: Path | None = None
    """Where feature caches live; the folder `cache` beside the dataset if not given."""


def main(config: Config) -> None:
    """Encode and say where the features of each camera are."""
    from foresight.data.dataset import Dataset
    from foresight.perception.encode import encode_cameras

    dataset = Dataset.open(config.dataset)
    encoder, readout = config.encoder.load()
    root = config.cache or config.dataset.parent / "cache"
    prepare = replace(encoder.prepare, size=readout.frame_size(encoder))
    found = encode_cameras(dataset, encoder, readout, root, config.cameras)
    for camera, cache in found.items():
        rule = prepare.rule(*dataset.spec.cameras[camera])
        print(
            f"{cache.path}: {len(cache.array)} steps of {cache.array.shape[1:]} features of "
            f"{camera} (frames {rule}) from {encoder.name}, readout {config.encoder.readout}"
        )
