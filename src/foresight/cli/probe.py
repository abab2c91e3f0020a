"""``foresight probe``: what can be read from an encoder's features, before any training."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.diagnostics.probes.run import ProbeSettings


@dataclass(frozen=True)
class Config:
    """Say what an encoder sees of each task: place, speed, size, shape; resumes where it stopped.

    Small probes read positions and velocities of the measured tasks, and place, size, depth, shape
    and motion of rendered objects, from the frozen features. They are fitted on some episodes and
    measured on others, beside the same network with random weights and beside raw pixels.

    With --dataset they read a recorded dataset's own state instead.
    """

    probe: Annotated[ProbeSettings, tyro.conf.arg(name="")] = field(default_factory=ProbeSettings)
    data: Path = Path("runs/probe")
    """Folder for episodes and finished readings: a killed run, started again, goes on."""
    out: Path | None = None
    """Folder of probes.json and probes.png; `results`, for a smoke run or a dataset the data
    folder."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: point_mass-easy and scenes at a tiny size, to see that everything runs."""
    workers: int | None = None
    """Processes that collect; one a core if not given."""


def main(config: Config) -> None:
    """Probe, print the table, write the result file and the chart."""
    from foresight.diagnostics.probes.run import run_probes
    from foresight.pipelines.stages import default_workers
    from foresight.report.probes import probe_chart, probe_table
    from foresight.report.tables import Console, to_rich

    smoke, dataset = config.preset == "smoke", config.probe.dataset
    settings = config.probe.smoke() if smoke else config.probe
    result = run_probes(settings, config.data, config.workers or default_workers())
    usual = config.data if dataset is not None else Path("results")
    out = config.out or (config.data / "smoke" if smoke else usual)
    result.save(out / "probes.json")
    probe_chart(result, out / "probes.png")
    Console().print(to_rich(probe_table(result)))
    for name, about in result.config["encoders"].items():
        if about:
            print(f"{name or settings.encoder}: {about}")
    if dataset is not None:
        _name_constants(dataset, {str(row.get("target")) for row in result.rows})
    print(f"result: {out / 'probes.json'}, chart: {out / 'probes.png'}")


def _name_constants(folder: Path, asked: set[str]) -> None:
    """Say what was not asked for."""
    from foresight.data.dataset import Dataset

    constant = [axis.name for axis in Dataset.open(folder).spec.state if axis.name not in asked]
    if constant:
        print(f"not asked for, as they do not vary in every part: {', '.join(constant)}")
