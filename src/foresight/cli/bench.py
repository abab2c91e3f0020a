"""``foresight bench``: how fast this machine is, beside the usual route."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from foresight.evaluation.encoder_speed import SpeedConfig

if TYPE_CHECKING:
    from foresight.report.tables import Table


@dataclass(frozen=True)
class Config:
    """Measure the encoder's clips per second beside transformers and the machine's matrix product.

    The sides take turns in one run; the median over the rounds counts.
    """

    what: Annotated[Literal["encoder"], tyro.conf.Positional]
    """What to measure."""
    ac: bool = True
    """Also roll out a V-JEPA 2-AC predictor with and without its cache."""
    speed: tyro.conf.OmitArgPrefixes[SpeedConfig] = field(default_factory=SpeedConfig)
    out: Path | None = None
    """Also write the result as JSON to this file, for example results/encoder-speed.json."""


def main(config: Config) -> None:
    """Measure, print and write."""
    import os

    import torch
    from rich.console import Console

    from foresight.evaluation.ac_speed import ACSpeedConfig, ac_speed
    from foresight.evaluation.encoder_speed import encoder_speed
    from foresight.evaluation.results import make_result, plain
    from foresight.report.tables import to_rich

    rollouts = ACSpeedConfig(rounds=config.speed.rounds, device=config.speed.device)
    rows = encoder_speed(config.speed, _say, [lambda: ac_speed(rollouts)] if config.ac else [])
    Console().print(to_rich(_table(rows)))
    if config.out is not None:
        settings = plain(config.speed) | {
            "threads": config.speed.threads or torch.get_num_threads()
        }
        settings |= {"cores": os.cpu_count()}
        if config.speed.device == "cuda":
            settings["gpu"] = torch.cuda.get_device_name()
        make_result("encoder-speed", settings, "none", rows).save(config.out)
        print(f"written to {config.out}")


def _say(row: dict[str, Any]) -> None:
    condition = f" {row['condition']}" if "condition" in row else ""
    print(f"{row['task']}{condition} {row['measure']}: {row['value']:.4g}", flush=True)


def _table(rows: list[dict[str, Any]]) -> Table:
    """Median over the rounds of each measure, with the lowest and the highest."""
    import statistics

    from foresight.evaluation.statistics import measure_key
    from foresight.report.tables import Cell, Table

    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(measure_key(row), []).append(row["value"])
    lines = [
        [Cell(key), *(Cell(f"{f(values):.4g}") for f in (statistics.median, min, max))]
        for key, values in groups.items()
    ]
    return Table("Encoder speed", ("measure", "median", "lowest", "highest"), lines)
