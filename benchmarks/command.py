"""``foresight bench``: how fast this machine is, beside the usual route."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from benchmarks import collection, spot_frames, window_loader
from benchmarks.collection import CollectionConfig
from benchmarks.encoder_speed import SpeedConfig
from benchmarks.lewm_speed import LeWMSpeedConfig
from benchmarks.planner_speed import PlannerSpeedConfig
from benchmarks.predictor_step import PredictorBench
from benchmarks.spot_frames import SpotFramesConfig
from benchmarks.train_speed import TrainSpeedConfig
from benchmarks.window_loader import LoaderConfig

if TYPE_CHECKING:
    from foresight.evaluation.statistics import Row
    from foresight.report.tables import Table


@dataclass(frozen=True)
class EncoderBench:
    """Measure the encoder's clips per second beside transformers and the machine's matrix product.

    The sides take turns in one run; the median over the rounds counts.
    """

    ac: bool = True
    """Also roll out a V-JEPA 2-AC predictor with and without its cache."""
    speed: tyro.conf.OmitArgPrefixes[SpeedConfig] = field(default_factory=SpeedConfig)
    out: Path | None = None
    """Also write the result as JSON to this file, for example results/encoder-speed.json."""


@dataclass(frozen=True)
class PlannerBench:
    """Measure the planner's milliseconds a decision and its share of the machine's matrix product.

    Beside it: a plain loop over the members and, with --peer, stable-worldmodel's solver. The sides
    take turns in one run; the median over the rounds counts.
    """

    speed: tyro.conf.OmitArgPrefixes[PlannerSpeedConfig] = field(default_factory=PlannerSpeedConfig)
    out: Path | None = None
    """Also write the result as JSON to this file, for example results/planner-speed.json, and a
    chart of the cost against samples and horizon beside it."""


@dataclass(frozen=True)
class TrainBench:
    """Measure an ensemble's updates per second, as one product and as a loop over its members.

    The sides take turns in one run; the median over the rounds counts.
    """

    speed: tyro.conf.OmitArgPrefixes[TrainSpeedConfig] = field(default_factory=TrainSpeedConfig)
    out: Path | None = None
    """Also write the result as JSON to this file, for example results/train-speed.json."""


@dataclass(frozen=True)
class LeWMBench:
    """Measure the CPU seconds of a plan with a LeWorldModel, and of an update.

    Beside the plan: a plain rollout that encodes and computes everything anew and, with --peer,
    stable-worldmodel's, whose update is measured, too. The sides take turns in one run, on one
    thread.
    """

    speed: tyro.conf.OmitArgPrefixes[LeWMSpeedConfig] = field(default_factory=LeWMSpeedConfig)
    out: Path | None = None
    """Also write the result as JSON to this file, for example results/lewm-speed.json."""


@dataclass(frozen=True)
class Config:
    """Measure how fast this machine is, beside the usual route."""

    what: tyro.conf.OmitSubcommandPrefixes[
        Annotated[EncoderBench, tyro.conf.subcommand("encoder")]
        | Annotated[PlannerBench, tyro.conf.subcommand("planner")]
        | Annotated[TrainBench, tyro.conf.subcommand("train")]
        | Annotated[PredictorBench, tyro.conf.subcommand("predictor")]
        | Annotated[LeWMBench, tyro.conf.subcommand("lewm")]
        | Annotated[CollectionConfig, tyro.conf.subcommand("collect")]
        | Annotated[LoaderConfig, tyro.conf.subcommand("loader")]
        | Annotated[SpotFramesConfig, tyro.conf.subcommand("spot")]
    ]


Measured = SpeedConfig | PlannerSpeedConfig | TrainSpeedConfig | PredictorBench | LeWMSpeedConfig


def main(config: Config) -> None:
    """Measure, print and write."""
    if isinstance(config.what, PlannerBench):
        _planner(config.what)
    elif isinstance(config.what, TrainBench):
        _train(config.what)
    elif isinstance(config.what, PredictorBench):
        _predictor(config.what)
    elif isinstance(config.what, LeWMBench):
        _lewm(config.what)
    elif isinstance(config.what, CollectionConfig):
        collection.main(config.what)
    elif isinstance(config.what, LoaderConfig):
        window_loader.main(config.what)
    elif isinstance(config.what, SpotFramesConfig):
        spot_frames.main(config.what)
    else:
        _encoder(config.what)


def _encoder(config: EncoderBench) -> None:
    from benchmarks.ac_speed import ACSpeedConfig, ac_speed
    from benchmarks.encoder_speed import encoder_speed
    from foresight.native import why_not

    rollouts = ACSpeedConfig(rounds=config.speed.rounds, device=config.speed.device)
    rows = encoder_speed(config.speed, _say, [lambda: ac_speed(rollouts)] if config.ac else [])
    missing = why_not()
    if missing and config.speed.device == "cpu":
        print(f"Ours ran as torch's operations: its C++ needs bfloat16 and AMX, and {missing}.")
    extra = {"native": missing or "yes"}
    _finish("Encoder speed", "encoder-speed", config.speed, rows, config.out, extra)


def _train(config: TrainBench) -> None:
    from benchmarks.train_speed import train_speed

    rows = train_speed(config.speed, _say)
    extra = {"threads": 1} if config.speed.clock == "cpu" else {}
    _finish("Training speed", "train-speed", config.speed, rows, config.out, extra)


def _predictor(config: PredictorBench) -> None:
    from dataclasses import replace

    from benchmarks.predictor_step import predictor_step

    rows = predictor_step(config)
    losses = [row["value"] for row in rows if row["measure"] == "loss"]
    told = [row for row in rows if row["measure"] != "loss"]
    _finish("Update of a predictor", "predictor-step", replace(config, out=None), told, None, {})
    print(f"loss: {losses[0]:.4f} at the first update, {losses[-1]:.4f} at update {len(losses)}")
    if config.out is not None:
        _write("predictor-step", replace(config, out=None), rows, config.out, {})


def _lewm(config: LeWMBench) -> None:
    from dataclasses import replace

    from benchmarks.lewm_speed import lewm_speed

    rows = lewm_speed(config.speed, _say)
    settings = replace(config.speed, peer=None)
    extra = {"peer": config.speed.peer is not None, "threads": 1}
    _finish("Plans with a LeWorldModel", "lewm-speed", settings, rows, config.out, extra)


def _planner(config: PlannerBench) -> None:
    from dataclasses import replace

    from benchmarks.planner_speed import planner_speed

    rows = planner_speed(config.speed, _say)
    # Where the peer is installed is nobody's business but this machine's.
    settings = replace(config.speed, peer=None)
    extra: dict[str, Any] = {"peer": config.speed.peer is not None}
    if config.speed.clock == "cpu":
        extra["threads"] = 1
    _finish("Planner speed", "planner-speed", settings, rows, config.out, extra)
    if config.out is not None and config.speed.scaling:
        from benchmarks.planner_chart import scaling_chart

        scaling_chart(rows, config.out.with_suffix(".png"))


def _finish(
    title: str,
    name: str,
    speed: Measured,
    rows: list[Row],
    out: Path | None,
    extra: dict[str, Any],
) -> None:
    """Print the table and write the result."""
    from rich.console import Console

    from foresight.report.tables import to_rich

    Console().print(to_rich(_table(title, rows)))
    if out is not None:
        _write(name, speed, rows, out, extra)


def _write(name: str, speed: Measured, rows: list[Row], out: Path, extra: dict[str, Any]) -> None:
    """Write the result."""
    import os

    import torch

    from foresight.evaluation.results import make_result, plain

    threads = getattr(speed, "threads", 0) or torch.get_num_threads()
    settings = plain(speed) | {"threads": threads}
    settings |= {"cores": os.cpu_count()} | extra
    if getattr(speed, "device", "cpu") == "cuda":
        settings["gpu"] = torch.cuda.get_device_name()
    make_result(name, settings, "none", rows).save(out)
    print(f"written to {out}")


def _say(row: Row) -> None:
    condition = f" {row['condition']}" if "condition" in row else ""
    print(f"{row['task']}{condition} {row['measure']}: {row['value']:.4g}", flush=True)


def _table(title: str, rows: list[Row]) -> Table:
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
    return Table(title, ("measure", "median", "lowest", "highest"), lines)
