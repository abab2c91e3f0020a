"""Recipe ``delay``: learned agents whose actions are executed late, and what foresight makes good.

Models were learned without delays. The delay is counted in steps of the environment, of which the
agents' decisions last two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.envs.dmc.tasks import canonical
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import borrow_baselines, paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import (
    Row,
    Summary,
    bootstrap_interval,
    condition_difference,
    ratio_interval,
    returns_by_seed,
)
from foresight.planning.config import MPCConfig
from foresight.policies.delayed.compensator import EstimatedDelay
from foresight.policies.delayed.policy import DelayedFactory
from foresight.policies.delayed.queue import Delays
from foresight.policies.mpc import MPCFactory
from foresight.policies.registry import MakePolicy
from studies.calibration import SMALL
from studies.learned import Learned, models_of, named
from studies.registry import Request, results_file
from studies.simulator_rolled import SimulatorRolledFactory

IGNORED, MODEL, ESTIMATED, SIMULATOR = (
    "ignored",
    "model-rolled",
    "model-estimated",
    "simulator-rolled",
)
CONDITIONS = (IGNORED, MODEL, ESTIMATED, SIMULATOR)
"""Blind to the delay; the model rolled through what is under way, of a delay that is known and of
one that is found out in each episode; the true simulator rolled through it."""
SMOKE_TASK = "point_mass-easy"
LEAST = 1.0
"""A share of a smaller return says nothing."""


@dataclass(frozen=True)
class DelayConfig:
    """Which tasks and delays, on how many seeds."""

    tasks: tuple[str, ...] = ("walker-walk", "cup-catch", "finger-spin", "cheetah-run")
    """Task ids, each learned before."""
    delays: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Steps of the environment from an action's choice to its execution."""
    conditions: tuple[str, ...] = CONDITIONS
    """Any of `CONDITIONS`."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …, the same for all."""
    baselines: tuple[str, ...] = ("zero", "random", "constant", "oracle")
    """Conditions beside them, without a delay."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search that all conditions share."""
    estimation: EstimatedDelay = field(default_factory=EstimatedDelay)
    """How a delay is found out."""
    protocol: str = "seed200"
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, DelayConfig]:
    """The named sizes."""
    smoke = DelayConfig(
        tasks=(SMOKE_TASK,),
        delays=(0, 1),
        seeds=2,
        baselines=("zero", "random"),
        search=SMALL,
        estimation=EstimatedDelay(decisions=3, most=2),
        steps=10,
    )
    full = DelayConfig()
    short = replace(full, delays=(0, 2, 4))
    return {"full": full, "short": short, "smoke": smoke}


def run(
    config: DelayConfig,
    learned: Sequence[Learned],
    workers: int = 1,
    measured: Path | None = None,
) -> Result:
    """Evaluate every condition under every delay; finished episodes are not run again.

    Rows: the episodes, whose task is ``<task>-d<delay>``. Summary: ``<condition>/<task>-d<delay>``;
    ``model-rolled-minus-ignored/…``, paired by seed; ``share/…``, the return of ``model-rolled``
    over that of ``simulator-rolled``; ``estimated-delay/…``, the mean delay that was found out.

    Args:
        config: sizes.
        learned: the models.
        workers: processes that evaluate.
        measured: a result whose baseline episodes are taken, not run again.

    Raises:
        ForesightError: an unknown condition, a negative delay, or a model that does not fit.
    """
    rows: list[Row] = []
    for one in learned:
        rows += _task_rows(config, one, workers, measured)
    models = named(learned)
    settings = {**asdict(config), "models": models}
    return make_result("delay", settings, config.protocol, rows, compared(rows))


def _task_rows(config: DelayConfig, one: Learned, workers: int, measured: Path | None) -> list[Row]:
    makers = [
        (delay, name, maker_of(name, config, one, delay))
        for delay in config.delays
        for name in config.conditions
    ]
    env = seen_by(one.model.config.encoder, EnvConfig(one.task, protocol=config.protocol))
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    book = EpisodeCache(one.work / "rows.jsonl")
    if measured is not None:
        borrow_baselines(book, env, measured)
    console.print(f"[bold]{one.task}[/]: actions that are executed late")
    rows: list[Row] = []
    for delay, name, maker in makers:
        late = replace(trial, env=replace(env, action_delay=delay))
        found = assess_policy(late, name, maker, book).rows
        rows += [{**row, "task": f"{one.task}-d{delay}"} for row in found]
    trivial = paired_baselines(trial, config.baselines, book)
    return rows + [{**row, "task": f"{one.task}-d0"} for row in trivial]


def maker_of(name: str, config: DelayConfig, one: Learned, delay: int) -> MakePolicy:
    """The agent of a condition.

    Raises:
        ForesightError: an unknown condition, or a negative delay.
    """
    checkpoint, delays = str(one.checkpoint), Delays(delay)
    known: Mapping[str, MakePolicy] = {
        IGNORED: MPCFactory(checkpoint, config.search),
        MODEL: DelayedFactory(checkpoint, config.search, lateness=delays),
        ESTIMATED: DelayedFactory(checkpoint, config.search, lateness=config.estimation),
        SIMULATOR: SimulatorRolledFactory(checkpoint, delay, config.search),
    }
    if name not in known:
        raise ForesightError(f"Unknown condition {name!r}: choose from {', '.join(known)}.")
    return known[name]


def compared(rows: Sequence[Row]) -> Summary:
    """What follows from the rows; see `run`."""
    found: Summary = {}
    for task in dict.fromkeys(row["task"] for row in rows):
        returns = {name: returns_by_seed(rows, task, name) for name in (IGNORED, MODEL, SIMULATOR)}
        if returns[MODEL] and returns[IGNORED]:
            difference = condition_difference(rows, task, MODEL, IGNORED)
            found[f"{MODEL}-minus-{IGNORED}/{task}"] = difference.as_dict()
        shared = sorted(returns[MODEL].keys() & returns[SIMULATOR].keys())
        ours, most = ([returns[name][seed] for seed in shared] for name in (MODEL, SIMULATOR))
        if shared and sum(most) / len(most) >= LEAST:
            found[f"share/{task}"] = ratio_interval(ours, most).as_dict()
        guessed = [row["estimated_delay"] for row in rows if _estimated(row, task)]
        if guessed:
            found[f"estimated-delay/{task}"] = bootstrap_interval(guessed).as_dict()
    return found


def _estimated(row: Row, task: str) -> bool:
    return row["task"] == task and row.get("estimated_delay") is not None


def reproduce(request: Request) -> Result:
    """Measure the tasks that are asked for; others in the result file stay.

    Raises:
        ForesightError: as `run`; there is no model of a task, or the file holds something else.
    """
    config = replace(presets()[request.preset], **request.given("tasks", "seeds"))
    config = replace(config, tasks=tuple(map(canonical, config.tasks)))
    learned = models_of(request, config.tasks)
    before = None if request.smoke else earlier(request.target, "delay", config.protocol)
    result = run(config, learned, request.processes, results_file("baselines"))
    return beside(result, before)
