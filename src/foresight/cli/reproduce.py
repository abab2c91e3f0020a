"""``foresight reproduce``: experiments by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result


@dataclass(frozen=True)
class Config:
    """Repeat an experiment: baselines, the search of the experts, faults, a phase or day of the
    source documents, the pretraining of the bundled encoder, teaching by showing, or what is asked
    of learned models (calibration, ablation, cost, dmc1000).
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
            "phase-4c",
            "phase-4d",
            "phase-4e",
            "phase-5b",
            "phase-6",
            "phase-7",
            "phase-8",
            "phase-9",
            "all",
            "day36-zero-shot",
            "day37-drift",
            "calibration",
            "ablation",
            "cost",
            "dmc1000",
            "teach",
        ],
        tyro.conf.Positional,
    ]
    """Which one; all runs every phase, one after the other."""
    preset: Literal["full", "short", "smoke"] = "full"
    """short: a fifth of a phase's data, for a busy machine; smoke: under a minute, to see that
    everything runs."""
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
    """Episodes of each dataset of the phases, rendered clips, or held-out episodes, if not the
    preset's number."""
    workers: int | None = None
    """Processes; one a core if not given."""
    ac: Path | None = None
    """V-JEPA 2-AC checkpoint, for the days; small random weights without one."""
    clip: Path | None = None
    """Video or .npy frames, for the days; rendered episodes without one."""
    learned: tuple[Path, ...] = ()
    """Folders of `foresight learn`, for calibration, ablation, cost and dmc1000. Without one the
    first three take runs/planning, and dmc1000 learns on its own."""
    models: Path = Path("runs/planning")
    """What `foresight learn` left, for teach, phase-8 and phase-9: a folder with TASK/model in it;
    a smoke run learns a tiny one."""
    tasks: tuple[str, ...] = ()
    """Tasks of teach, phase-8 and phase-9, if not their own; what dmc1000 learns, if not all of its
    tasks, or none beside learned models. Other tasks in the file of teach or dmc1000 stay."""


def main(config: Config) -> None:
    """Run it, write the result file and print our figures beside the sources'."""
    from studies.phases import PHASES
    from studies.phases.learned import NEEDS

    if config.out is not None and (config.name == "all" or config.name in NEEDS):
        raise ForesightError(
            f"{config.name} writes no file of its own: leave out --out {config.out}."
        )
    names = (*PHASES, *NEEDS) if config.name == "all" else (config.name,)
    for name in names:
        one = replace(config, name=name)  # type: ignore[arg-type]
        if name in NEEDS:
            _learned_phase(one)
        else:
            _reproduce(one)


def _reproduce(config: Config) -> None:
    from rich.console import Console

    from foresight.report.drift import drift_tables
    from foresight.report.tables import print_result, to_rich
    from studies.sources import SOURCES

    smoke = config.preset == "smoke"
    kinds = {"phase": "phases", "day36": "ac", "day37": "ac"}
    kind = kinds.get(config.name.partition("-")[0], config.name)
    folder = config.run or Path("runs") / _folder_name(config, kind)
    out = config.out or (folder / f"{config.name}.json" if smoke else _result_path(config.name))
    result = _run(config, folder, out)
    if config.name == "day37-drift":
        Console().print(*map(to_rich, drift_tables(result, brief=True)))
    else:
        print_result(result)
    source = result.config.get("source")
    if config.name in SOURCES:
        _print_phase(config.name, out.parent, result)
    elif source:
        print("the source documents: " + ", ".join(f"{k} {v:g}" for k, v in source.items()))
    for note in result.config.get("notes", []):
        print(note)
    print(f"result: {out}")


def _print_phase(name: str, results: Path, result: Result | None = None) -> None:
    """Figures and verdicts, from a phase's own result and those of other experiments."""
    from rich.console import Console

    from foresight.report.tables import to_rich
    from studies.findings import count_line, figure_table, missing_line, verdict_lines
    from studies.readings import Readings
    from studies.sources import SOURCES

    phase = SOURCES[name]
    known = Readings(results).about(name, phase) | (result.summary if result else {})
    Console().print(to_rich(figure_table(phase, known)))
    for line in (*verdict_lines(phase, known), count_line(phase, known)):
        print(line.replace("**", ""))
    if missing := missing_line(name, phase, known):
        print(missing)


def _learned_phase(config: Config) -> None:
    """A phase that the files of other experiments answer."""
    from foresight.pipelines.stages import default_workers
    from studies.phases.learned import LearnedPlace, answer

    smoke = config.preset == "smoke"
    runs = config.run or Path("runs") / ("learned-smoke" if smoke else "")
    place = LearnedPlace(
        results=runs if smoke else Path("results"),
        models=runs / "models" if smoke else config.models,
        runs=runs,
        preset="smoke" if smoke else "full",
        tasks=config.tasks,
        seeds=config.seeds,
        workers=config.workers or default_workers(),
        encoder=config.encoder,
    )
    found = answer(config.name, place)
    _print_phase(config.name, place.results)
    for name, result in found.items():
        print(f"read: {place.results / name}.json, made by {result.command}; remove it to repeat")


def _folder_name(config: Config, kind: str) -> str:
    return kind if config.preset == "full" else f"{kind}-{config.preset}"


def _result_path(name: str) -> Path:
    return Path("results") / f"{name}.json"


def _run(config: Config, folder: Path, out: Path) -> Result:
    from foresight.pipelines.stages import default_workers

    workers = config.workers or default_workers()
    smoke = config.preset == "smoke"
    if config.preset == "short" and not config.name.startswith("phase"):
        raise ForesightError(
            f"{config.name} has no preset short, only the phases have: choose full or smoke."
        )
    if config.name in ("calibration", "ablation", "cost", "dmc1000"):
        from foresight.core.files import write_text
        from foresight.evaluation.merge import beside, earlier
        from studies import dmc1000, evidence

        field = config.name == "dmc1000"
        before = earlier(out, config.name, dmc1000.PROTOCOL) if field else None
        result = evidence.run(
            config.name,
            "smoke" if smoke else "full",
            folder,
            config.learned,
            workers,
            config.seeds,
            config.episodes,
            config.tasks,
        )
        result = beside(result, before)
        result.save(out)
        if field:
            write_text(out.with_suffix(".csv"), dmc1000.curve_csv(result.rows))
        return result
    if config.name == "baselines":
        from studies import baselines

        settings = baselines.BaselinesConfig(
            preset="smoke" if smoke else "full",
            out=out,
            run=folder,
            workers=workers,
            seeds=config.seeds or 20,
        )
        return baselines.run(settings)
    if config.name == "experts":
        from studies import experts

        result = experts.run(experts.presets()[config.preset], (), folder)
    elif config.name == "faults":
        from studies import faults

        small = faults.FaultsConfig(moments=1, episodes=4, steps=40, epochs=3)
        result = faults.run(small if smoke else faults.FaultsConfig(), folder)
    elif config.name == "foresight-small":
        from studies import foresight_small

        result = foresight_small.run(config.preset, folder, workers, config.device)
    elif config.name == "teach":
        result = _teach(config, folder, workers, out)
    elif config.name.startswith("day"):
        from studies import ac

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
        result = _run_phase(config, folder, workers)
    result.save(out)
    return result


def _run_phase(config: Config, folder: Path, workers: int) -> Result:
    from studies import phases

    sizes = phases.presets()[config.preset]
    sizes = replace(sizes, encoder=config.encoder, device=config.device)
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    if config.episodes is not None:
        sizes = replace(
            sizes,
            episodes=config.episodes,
            large=config.episodes,
            task_episodes=config.episodes,
        )
    return phases.run(config.name, sizes, folder, workers)


def _teach(config: Config, folder: Path, workers: int, out: Path) -> Result:
    from foresight.evaluation.merge import beside, earlier
    from foresight.pipelines import learn as planning
    from foresight.pipelines.demonstrations import presets
    from studies import teach

    sizes = replace(presets()[config.preset], encoder=config.encoder)
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    if config.preset == "full":
        before = earlier(out, config.name, sizes.protocol)
        result = teach.run(sizes, config.tasks, config.models, folder, workers)
        return beside(result, before)
    tasks = config.tasks or ("point_mass-easy",)
    for task in tasks:
        planning.tiny_model(task, folder / "models")
    return teach.run(sizes, tasks, folder / "models", folder, workers)
