"""``foresight imagine``: what a world model imagines, as a film beside what happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.pipelines.imagine import ImagineConfig


@dataclass(frozen=True)
class Config:
    """See what a model imagines: a decoder is learned for it, and held-out episodes are imagined
    under their own actions, as a film and as numbers beside trivial guesses.

    The model stays as it is; the checkpoint with the decoder goes to OUT/model.
    """

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a trained world model."""
    source: Annotated[Path, tyro.conf.Positional]
    """Folder of a dataset with the same cameras and actions."""
    imagine: tyro.conf.OmitArgPrefixes[ImagineConfig] = field(default_factory=ImagineConfig)
    out: Path = Path("runs/imagine")
    """Folder for imagine.json, imagine.mp4 and model/."""


def main(config: Config) -> None:
    """Learn the decoder, imagine, print the table."""
    from rich.console import Console

    from foresight.pipelines.imagine import imagine
    from foresight.report.drift import imagine_table
    from foresight.report.tables import to_rich

    result = imagine(config.model, config.source, config.imagine, config.out)
    Console().print(to_rich(imagine_table(result)))
    for note in result.config["notes"]:
        print(note)
    for name in ("imagine.json", "imagine.mp4", "model"):
        print(f"written: {config.out / name}")
