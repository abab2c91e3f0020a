"""``foresight probe``: what can be read from an encoder's features, before any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Config:
    """Say what an encoder sees of each task: place, speed, size, shape; resumes where it stopped.

    Small probes read positions and velocities of the source tasks, and place, size, depth, shape
    and motion of rendered objects, from the frozen features. They are fitted on some episodes and
    measured on others, beside the same network with random weights and beside raw pixels.
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Source tasks, and scenes for the rendered objects; all of them if none is named."""
    encoder: str = "foresight-small"
    """Folder, hub id or name of the encoder."""
    episodes: int = 800
    """Episodes of each task: many short ones, as every one has its own goal and start."""
    steps: int = 40
    """Length of an episode in environment steps."""
    windows: int = 12
    """Windows of frames taken from each episode."""
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
    """Folder of probes.json and probes.png; `results`, for a smoke run the data folder."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: point_mass-easy and scenes at a tiny size, to see that everything runs."""
    device: str = "cpu"
    """Where encoders run."""
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
    )
    result = run_probes(settings, config.data, config.workers or default_workers())
    out = config.out or (config.data / "smoke" if smoke else Path("results"))
    result.save(out / "probes.json")
    probe_chart(result, out / "probes.png")
    Console().print(to_rich(probe_table(result)))
    print(f"result: {out / 'probes.json'}, chart: {out / 'probes.png'}")
