"""``foresight reproduce``: experiments by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.evaluation.results import Result
from foresight.perception.eyes import Eyes


@dataclass(frozen=True)
class Config:
    """Repeat an experiment: baselines, the search of the experts, faults, a phase or day of the
    source documents, teaching by showing, or the pretraining of the bundled encoder.
    """

    name: Annotated[
        Literal[
            "baselines",
            "experts",
            "faults",
            "foresight-small",
            "phase-1",
            "phase-3",
            "phase-4",
            "phase-4b",
            "day36-zero-shot",
            "day37-drift",
            "teach",
        ],
        tyro.conf.Positional,
    ]
    """Which one."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: under a minute, to see that everything runs."""
    out: Path | None = None
    """The result file; results/NAME.json if not given, a smoke run writes into its own folder."""
    run: Path | None = None
    """Folder for data and finished episodes: a stopped run, started again, goes on from there."""
    encoder: str = "foresight-small"
    """Folder or hub id of a V-JEPA 2 checkpoint, for phases and days; with --ac its own encoder
    stays unless another is named here."""
    device: str = "cpu"
    """Where the encoder runs."""
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    episodes: int | None = None
    """Episodes of each dataset of the phases, or rendered clips, if not the preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""
    ac: Path | None = None
    """V-JEPA 2-AC checkpoint, for the days; small random weights without one."""
    clip: Path | None = None
    """Video or .npy frames, for the days; rendered episodes without one."""
    models: Path = Path("runs/planning")
    """What `foresight learn` left, for teach: a folder with TASK/model in it; a smoke run learns a
    tiny one."""
    tasks: tuple[str, ...] = ()
    """Tasks of teach, if not its own."""


def main(config: Config) -> None:
    """Run it, write the result file and print our figures beside the sources'."""
    from rich.console import Console

    from foresight.report.drift import drift_tables
    from foresight.report.tables import print_result, to_rich

    smoke = config.preset == "smoke"
    kinds = {"phase": "phases", "day36": "ac", "day37": "ac"}
    kind = kinds.get(config.name.partition("-")[0], config.name)
    folder = config.run or Path("runs") / (f"{kind}-smoke" if smoke else kind)
    out = config.out or (folder / f"{config.name}.json" if smoke else _result_path(config.name))
    result = _run(config, folder, out)
    if config.name == "day37-drift":
        Console().print(*map(to_rich, drift_tables(result, brief=True)))
    else:
        print_result(result)
    source = result.config.get("source")
    if source:
        print("the source documents: " + ", ".join(f"{k} {v:g}" for k, v in source.items()))
    for note in result.config.get("notes", []):
        print(note)
    print(f"result: {out}")


def _result_path(name: str) -> Path:
    return Path("results") / f"{name}.json"


def _run(config: Config, folder: Path, out: Path) -> Result:
    from foresight.recipes.stages import default_workers

    workers = config.workers or default_workers()
    smoke = config.preset == "smoke"
    if config.name == "baselines":
        from foresight.recipes import baselines

        settings = baselines.BaselinesConfig(
            preset=config.preset, out=out, run=folder, workers=workers, seeds=config.seeds or 20
        )
        return baselines.run(settings)
    if config.name == "experts":
        from foresight.recipes import experts

        result = experts.run(experts.presets()[config.preset], (), folder)
    elif config.name == "faults":
        from foresight.recipes import faults

        small = faults.FaultsConfig(moments=1, episodes=4, steps=40, epochs=3)
        result = faults.run(small if smoke else faults.FaultsConfig(), folder)
    elif config.name == "foresight-small":
        from foresight.recipes import foresight_small

        result = foresight_small.run(config.preset, folder, workers, config.device)
    elif config.name == "teach":
        result = _teach(config, folder, workers)
    elif config.name.startswith("day"):
        from foresight.recipes import ac

        own = config.encoder == "foresight-small"  # the checkpoint's own, if there is one
        shown = replace(
            ac.presets()[config.preset],
            ac=config.ac,
            encoder=None if own else config.encoder,
            clip=config.clip,
            device=config.device,
        )
        if config.episodes is not None:
            shown = replace(shown, clips=config.episodes)
        result = ac.run(config.name, shown, folder, workers)
    else:
        from foresight.recipes import phases

        sizes = phases.presets()[config.preset]
        sizes = replace(sizes, eyes=Eyes(config.encoder, "source", config.device))
        if config.seeds is not None:
            sizes = replace(sizes, seeds=config.seeds)
        if config.episodes is not None:
            sizes = replace(sizes, episodes=config.episodes)
        result = phases.run(config.name, sizes, folder, workers)
    result.save(out)
    return result


def _teach(config: Config, folder: Path, workers: int) -> Result:
    from foresight.recipes import teach

    sizes = replace(teach.presets()[config.preset], encoder=config.encoder)
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    if config.preset == "full":
        return teach.run(sizes, config.tasks, config.models, folder, workers)
    tasks = config.tasks or ("point_mass-easy",)
    for task in tasks:
        teach.tiny_model(task, folder / "models")
    return teach.run(sizes, tasks, folder / "models", folder, workers)
