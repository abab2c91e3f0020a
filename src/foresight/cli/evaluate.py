"""``foresight evaluate``: a trained model beside its baselines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.envs.render import RenderSettings
from foresight.perception.config import EncoderConfig
from foresight.policies.factory import PlannerConfig


@dataclass(frozen=True)
class Config:
    """Let the planner of a world model act beside its baselines on the same seeds."""

    model: Annotated[Path, tyro.conf.Positional]
    """Folder of a checkpoint that `foresight train` wrote."""
    out: Path | None = None
    """The result file; evaluation.json in the checkpoint's folder if not given."""
    eyes: tyro.conf.OmitArgPrefixes[EncoderConfig] = field(default_factory=EncoderConfig)
    planner: PlannerConfig = field(default_factory=PlannerConfig)
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    protocol: Literal["seed200", "dmc1000"] = "seed200"
    """200 steps without, or 1000 steps with action repeat 2."""
    baselines: tuple[str, ...] = ("zero", "random", "constant", "expert")
    """Any of zero, random, constant, expert, oracle."""
    camera: int = 0
    """Camera number; the one that the data were recorded with."""
    quality: Literal["fast", "smooth", "full"] = "smooth"
    """Render quality; the one that the data were recorded with."""
    steps: int | None = None
    """Cut episodes short, for a trial."""
    workers: int | None = None
    """Processes; one a core if not given."""


def main(config: Config) -> None:
    """Evaluate, write the result file and print the table."""
    from foresight.core.errors import ForesightError
    from foresight.evaluation.assess import Trial, assess_agent, assess_baselines
    from foresight.evaluation.baselines import RowBook
    from foresight.evaluation.results import make_result
    from foresight.pipelines.stages import default_workers
    from foresight.policies.factory import PlannerFactory
    from foresight.report.tables import print_result
    from foresight.worldmodel.model import WorldModel

    if config.seeds < 1:
        raise ForesightError(f"{config.seeds} seeds were asked for: evaluate on at least 1.")
    model = WorldModel.load(config.model)
    encoder, readout = config.eyes.load()
    model.expect_encoder(encoder.fingerprint, readout.fingerprint)
    workers = config.workers or default_workers()
    seeds = tuple(range(config.seeds))
    trial = Trial(model.config.task, seeds, config.protocol, config.steps, workers)
    book = RowBook(config.model / "rows.jsonl")
    render = RenderSettings(config.eyes.frame_size(), config.camera, config.quality)
    factory = PlannerFactory(
        str(config.model), config.eyes, config.planner, config.protocol, render
    )
    rows = assess_agent(trial, f"planner:{encoder.name}", factory, render, book).rows
    rows += assess_baselines(trial, config.baselines, book)
    result = make_result("evaluation", config, config.protocol, rows)
    path = result.save(config.out or config.model / "evaluation.json")
    print_result(result)
    print(f"result: {path}")
