"""``foresight learn``: learn a task by acting in it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from foresight.training.online_changes import OnlineChanges


@dataclass(frozen=True)
class Config:
    """Act in an environment and learn from that, then measure the agent; resumes where it stopped.

    The agent sees through the frozen encoder, learns what its actions change and what earns reward,
    and acts by imagining a few decisions ahead. It is measured beside doing nothing, random and
    constant actions and the oracle on the same seeds. (`foresight train` learns from a dataset that
    is there already; `foresight teach` shows a learned agent one video of a task.)
    """

    tasks: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Task ids, for example reacher-easy; the eight measured tasks if none is named."""
    preset: Literal["full", "smoke"] = "full"
    """smoke: under a minute, to see that everything runs."""
    online: tyro.conf.OmitArgPrefixes[OnlineChanges] = field(default_factory=OnlineChanges)
    seeds: int | None = None
    """Evaluation seeds, if not the preset's number."""
    baselines: tuple[str, ...] | None = None
    """Conditions beside the agent, if not all: zero, random, constant, expert, oracle."""
    inverse: bool = False
    """Measure a rival, too: the inverse model that follows demonstrations without a planner."""
    measured: Path | None = None
    """A result file whose rows of the same conditions and seeds are taken instead of run again."""
    run: Path = field(default_factory=lambda: Path("runs/planning"))
    """Folder of the runs, one folder for each task in it."""
    out: Path | None = None
    """Where the result goes, RUN/planning.json if not given; what the file holds of other tasks
    stays."""
    workers: int | None = None
    """Processes that evaluate; one a core if not given."""


def main(config: Config) -> None:
    """Learn, measure and print the table."""
    from foresight.evaluation.merge import beside, earlier
    from foresight.pipelines import learn as planning
    from foresight.pipelines.stages import default_workers
    from foresight.report.tables import print_result

    sizes = planning.presets()[config.preset]
    if config.seeds is not None:
        sizes = replace(sizes, seeds=config.seeds)
    if config.baselines is not None:
        sizes = replace(sizes, baselines=config.baselines)
    sizes = replace(sizes, inverse=config.inverse)
    if config.measured is not None:
        sizes = replace(sizes, measured=config.measured)
    out = config.out or config.run / "planning.json"
    learned = planning.to_learn(sizes, config.tasks, config.online)
    before = earlier(out, "planning", planning.protocol_of(*learned.values()))
    result = planning.run(
        sizes, config.tasks, config.run, config.workers or default_workers(), config.online
    )
    result = beside(result, before)
    result.save(out)
    print_result(result)
    print(f"result: {out}")
