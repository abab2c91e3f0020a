"""``foresight inspect``: what a policy of action chunks decides, looks at and does."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.diagnostics.chunks import Gaze
from foresight.policies.chunk.policy import ChunkActing


@dataclass(frozen=True)
class Config:
    """Look into a policy of action chunks: along held-out demonstrations, in trials, or both.

    With a dataset, its chunks are plotted against what was shown, and films show what it looks at.
    With --env, all its trials are filmed, beside itself blind and with its cameras exchanged, on a
    page with its failures first.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of a trained policy of action chunks."""
    source: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of a dataset: of what it was trained on the held-out episodes are taken."""
    env: str | None = None
    """Environment of trials."""
    episodes: int = 3
    """Episodes of the dataset."""
    by: Gaze | None = None
    """What says where it looks: attention of the actions to the tokens (of transformers), or
    occlusion, how far the chunk changes without a token. Attention where there is one, if not
    given."""
    seeds: int = 10
    """Trials, from the first seed on."""
    first_seed: int = 0
    """Seed of the first trial."""
    chunk: ChunkActing = field(default_factory=ChunkActing)
    """How chunks become actions."""
    steps: int | None = None
    """Cut trials short."""
    workers: int | None = None
    """Processes of trials; one a core if not given."""
    device: str = "cpu"
    """Where networks run."""
    out: Path | None = None
    """Folder for pages, films and numbers; `inspection` in the checkpoint's if not given."""


def main(config: Config) -> None:
    """Inspect, print the tables and say where the pages are."""
    from rich.console import Console

    from foresight.core.errors import ForesightError
    from foresight.envs.registry import EnvConfig
    from foresight.pipelines.inspection import inspect_demonstrations
    from foresight.pipelines.stages import default_workers
    from foresight.pipelines.trials import inspect_trials
    from foresight.report.inspection import error_table, gaze_table
    from foresight.report.tables import to_rich
    from foresight.report.trials import trials_table

    if config.source is None and config.env is None:
        raise ForesightError("Nothing to inspect it on: give a dataset, --env, or both.")
    console, out = Console(), config.out or config.checkpoint / "inspection"
    if config.source is not None:
        result = inspect_demonstrations(
            config.checkpoint,
            config.source,
            out,
            config.episodes,
            config.chunk,
            config.by,
            config.device,
        )
        for table in (error_table(result), gaze_table(result)):
            console.print(to_rich(table))
        print(f"page: {out / 'demonstrations.html'}")
    if config.env is not None:
        seeds = range(config.first_seed, config.first_seed + config.seeds)
        result = inspect_trials(
            config.checkpoint,
            EnvConfig(config.env),
            out,
            tuple(seeds),
            config.chunk,
            config.device,
            config.steps,
            config.workers or default_workers(),
        )
        console.print(to_rich(trials_table(result)))
        print(f"page: {out / 'trials.html'}")
