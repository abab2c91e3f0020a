"""``foresight drift``: how long imagination holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.pipelines.drift import DriftConfig


@dataclass(frozen=True)
class Config:
    """Predicted against true features at growing horizons, beside persistence and the mean."""

    source: Annotated[Path, tyro.conf.Positional]
    """A video file, uint8 frames in a .npy file, or the folder of a dataset."""
    drift: tyro.conf.OmitArgPrefixes[DriftConfig] = field(default_factory=DriftConfig)
    out: Path = Path("runs/drift")
    """Folder for drift.json, drift.svg and drift.html."""


def main(config: Config) -> None:
    """Measure, print the tables and write them."""
    from rich.console import Console

    from foresight.pipelines.drift import measure
    from foresight.report.drift import drift_tables, write_drift
    from foresight.report.tables import to_rich

    result = measure(config.source, config.drift)
    console = Console()
    for table in drift_tables(result, brief=True):
        console.print(to_rich(table))
    for note in result.config["notes"]:
        print(note)
    for path in write_drift(result, config.out):
        print(f"written: {path}")
