"""``foresight replay``: a dataset's actions, executed again in the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from foresight.pipelines.ground_truth import ReplayConfig


@dataclass(frozen=True)
class Config:
    """Execute the recorded actions of episodes in the simulator, from the same start, and compare
    states, pictures and success with what was recorded.

    It is the test that actions, rate and pictures of a dataset mean what one thinks. To let a
    recording act as a policy's rival, evaluate `replay:DATASET`.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of a dataset."""
    env: str | None = None
    """Environment; that of each episode if not given."""
    replay: tyro.conf.OmitArgPrefixes[ReplayConfig] = field(default_factory=ReplayConfig)
    out: Path = Path("runs/replay")
    """Folder for replay.html, replay.json and the films."""


def main(config: Config) -> None:
    """Replay, print the table and say where the page is."""
    from rich.console import Console

    from foresight.envs.registry import EnvConfig
    from foresight.pipelines.ground_truth import replay_dataset
    from foresight.report.tables import measurement_table, to_rich

    env = EnvConfig(config.env) if config.env else None
    result = replay_dataset(config.source, config.out, env, config.replay)
    Console().print(to_rich(measurement_table(result)))
    print(f"page: {config.out / 'replay.html'}")
