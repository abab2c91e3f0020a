"""``foresight probe``: what can be read from an encoder's features, before any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class Config:
    """Say what an encoder sees of each task: place, speed, size, shape; resumes where it stopped.

    Small probes read positions and velocities of the measured tasks, and place, size, depth, shape
    and motion of rendered objects, from the frozen features. They are fitted on some episodes and
    measured on others, beside the same network with random weights and beside raw pixels.

    With --dataset they read a recorded dataset's own state instead.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Source tasks, and scenes for the rendered objects; all of them if none is named."""
    dataset: Path | None = None
    """Folder of a LeRobot dataset: say what the encoder sees of its observation.state."""
    camera: str | None = None
    """Name of the dataset's camera; its first one if not given."""
    fit: Literal["squash", "crop", "pad"] = "squash"
    """How the dataset's frames become the encoder's squares. squash: everything is seen,
    proportions change; crop: the middle square; pad: between black bars."""
    encoder: str = "foresight-small"
    """Folder, hub id or name of the encoder."""
    episodes: int = 800
    """Episodes of each task: many short ones, as every one has its own goal and start."""
    steps: int = 40
    """Length of an episode in environment steps."""
    windows: int = 12
    """Windows of frames taken from each episode, a dataset's too."""
    scenes: int = 20_000
    """Rendered clips."""
    frames: int = 4
    """Frames of a window, an even number; the last one shows the present step."""
    stride: int = 2
    """Environment steps from one frame to the next."""
    dino: Path | None = None
    """Folder of a DINOv2 checkpoint to compare with."""
    data: Path = Path("runs/probe")
    """Folder for episodes and finished readings: a killed run, started again, goes on."""
    out: Path | None = None
    """Folder of probes.json and probes.png; `results`, for a smoke run or a dataset the data
    folder."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: point_mass-easy and scenes at a tiny size, to see that everything runs."""
    device: str = "cpu"
    """Where encoders run: cpu, cuda, cuda:1, or auto for cuda where there is one."""
    seed: int = 0
    """Of the split into fitting, choosing and testing, and of the probes."""
    workers: int | None = None
    """Processes that collect; one a core if not given."""


def main(config: Config) -> None:
    """Probe, print the table, write the result file and the chart."""
    from foresight.diagnostics.probes.run import ProbeSettings, run_probes
    from foresight.pipelines.stages import default_workers
    from foresight.report.probes import probe_chart, probe_table
    from foresight.report.tables import Console, to_rich

    if config.dataset is not None and config.tasks:
        raise ForesightError(
            f"Probe the dataset {config.dataset} or the tasks {', '.join(config.tasks)}, one at a "
            "time: leave one of them out."
        )
    smoke = config.preset == "smoke"
    defaults = ProbeSettings()
    settings = ProbeSettings(
        encoder=config.encoder,
        tasks=config.tasks or (("point_mass-easy", "scenes") if smoke else defaults.tasks),
        episodes=min(config.episodes, 8) if smoke else config.episodes,
        windows=min(config.windows, 4) if smoke else config.windows,
        scenes=min(config.scenes, 80) if smoke else config.scenes,
        frames=config.frames,
        stride=config.stride,
        steps=min(config.steps, 30) if smoke else config.steps,
        dino=config.dino,
        device=config.device,
        seed=config.seed,
        fit=type(defaults.fit)(updates=20) if smoke else defaults.fit,
        dataset=config.dataset,
        camera=config.camera,
        pictures=config.fit,
    )
    result = run_probes(settings, config.data, config.workers or default_workers())
    usual = config.data if config.dataset is not None else Path("results")
    out = config.out or (config.data / "smoke" if smoke else usual)
    result.save(out / "probes.json")
    probe_chart(result, out / "probes.png")
    Console().print(to_rich(probe_table(result)))
    if config.dataset is not None:
        _name_constants(config.dataset, {str(row.get("target")) for row in result.rows})
    print(f"result: {out / 'probes.json'}, chart: {out / 'probes.png'}")


def _name_constants(folder: Path, asked: set[str]) -> None:
    """Say what was not asked for."""
    from foresight.data.dataset import Dataset

    constant = [axis.name for axis in Dataset.open(folder).spec.state if axis.name not in asked]
    if constant:
        print(f"not asked for, as they do not vary in every part: {', '.join(constant)}")
