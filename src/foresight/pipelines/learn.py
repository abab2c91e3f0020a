"""Learn tasks from pixels by acting in them, then measure the agent beside its baselines."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foresight.core.files import read_json, write_json
from foresight.core.machine import peak_gib
from foresight.core.metrics import read_metrics
from foresight.core.progress import console
from foresight.core.stopwatch import Stopwatch
from foresight.envs.dmc.tasks import MEASURED_TASKS
from foresight.envs.registry import EnvConfig, blind, limit_of
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import (
    CONDITIONS,
    TRAINING_SEEDS,
    borrow_baselines,
    paired_baselines,
)
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import OWN, EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.pipelines.demonstrations import TeachConfig, demonstrator_of, inverse_rows
from foresight.pipelines.demonstrations import presets as teach_presets
from foresight.planning.config import ALONE, MPCConfig
from foresight.policies.mpc import MPCFactory
from foresight.policies.taught import TaughtConfig
from foresight.report.run_page import film_path, save_films
from foresight.training.online_changes import OnlineChanges
from foresight.training.online_config import Method, OnlineConfig
from foresight.training.online_sac import trainer_of
from foresight.training.run_data import KEPT, MODEL
from foresight.training.task_settings import folder_name, settings_of, task_name

NO_CHANGES = OnlineChanges()
FELT = "-joints"
"""Ends the names of agents that feel their joints, too."""


@dataclass(frozen=True)
class LearnConfig:
    """What is learned, and on how many seeds it is measured."""

    online: OnlineConfig = field(default_factory=OnlineConfig)
    planner: MPCConfig = field(default_factory=MPCConfig)
    """The search of the evaluated agent."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    baselines: tuple[str, ...] = CONDITIONS
    """Conditions beside the agent."""
    measured: Path | None = None
    """A result whose baseline episodes on the same seeds are taken, not run again."""
    inverse: bool = False
    """Measure the inverse model that follows demonstrations, too: a rival without a planner."""
    heads: TaughtConfig = field(default_factory=TaughtConfig)
    """The rival's inverse model and its sense of distance."""
    shown: int = 10
    """Demonstrations of the task's expert, on training seeds, that the rival knows."""
    show: bool = False
    """Show the task once on video, too, and film how the agent does it (`road.road`)."""
    film: int = 2
    """Episodes of the agent that are filmed."""
    searched: tuple[int, ...] | None = None
    """Of the models that are kept on the way, those that search, too; all if not given."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, LearnConfig]:
    """The named sizes."""
    full = LearnConfig()
    tiny = OnlineConfig(
        steps=320,
        random_episodes=2,
        length=40,
        parallel=2,
        demonstrations=2,
        representation_updates=4,
        updates=0.05,
        finetune_updates=4,
        latent=32,
        hidden=32,
        members=2,
        save_every=2,
    )
    small = MPCConfig(samples=16, elites=4, iterations=2, prior_samples=4)
    smoke = LearnConfig(
        online=replace(tiny, planner=small),
        planner=small,
        seeds=2,
        baselines=("zero", "random"),
        heads=teach_presets()["smoke"].heads,
        shown=2,
        film=1,
        steps=20,
    )
    return {"full": full, "smoke": smoke}


def online_of(config: LearnConfig, task: str, method: Method = "taught") -> OnlineConfig:
    """How a task is learned: with its own settings, or in a smoke run with its expert alone.

    Raises:
        ForesightError: there is no such task.
    """
    name, own = task_name(task), dict(settings_of(task, method))
    if config.steps is not None and method != "taught":
        own |= {"length": config.online.length, "updates": config.online.updates}
        own |= {"random_episodes": config.online.random_episodes, "final_trials": 1}
    elif config.steps is not None:
        led = min(config.online.demonstrations, own.get("demonstrations", 48))
        own = {"expert": own.get("expert", "oracle"), "demonstrations": led}
    return replace(config.online, task=name, **own)


def learn_task(config: LearnConfig, folder: Path, workers: int = 1) -> list[Row]:
    """Learn one task in ``folder`` and measure it; a killed run goes on where it was.

    Returns:
        Rows of the agent (condition ``mpc``; learned from pixels ``mpc-pixels``, and beside it
        ``prior-pixels``, its action prior without a search; by soft actor-critic ``mpc-sac`` and
        ``sac``, and each of a model that was kept after so many steps with ``@STEPS``), of its
        rival (``inverse-model``) if that is asked for, of the baselines, the learning curve, what
        each trust earned along it, wall seconds of each stage and the peak memory.
    """
    if config.inverse:
        demonstrator_of(task_name(config.online.task))  # refused now, not after hours of learning
    watch, env = Stopwatch(), evaluated_in(config.online)
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    task = trial.task
    console.print(f"[bold]{task}[/]: learn for {config.online.steps:,} steps")
    trainer_of(config.online, folder).run()
    book = EpisodeCache(folder / "rows.jsonl")
    if config.measured is not None:
        borrow_baselines(book, env, config.measured)
    with watch.stage("evaluate"):
        rows = _agent_rows(config, trial, folder, book)
    if config.inverse:
        with watch.stage("inverse"):
            rows += _rival_rows(config, trial, folder, book)
    rows += paired_baselines(trial, config.baselines, book)
    log = read_metrics(folder / "model" / "metrics.jsonl")
    rows += _curve(task, log) + _trial_rows(task, log)
    # Learning keeps its own count, through all processes of a run that was stopped.
    parts = {f"learn-{name}": float(log[-1][f"seconds/{name}"]) for name in ("collect", "learn")}
    seconds = {"learn": sum(parts.values()), **parts}
    seconds |= _first_seconds(folder / "seconds.json", watch.seconds)
    rows += [{"measure": f"seconds:{k}", "task": task, "value": v} for k, v in seconds.items()]
    rows.append({"measure": "peak-gib", "task": task, "value": peak_gib()})
    return rows


def protocol_of(*learned: OnlineConfig) -> str:
    """What a result says of its episodes' length; ``own`` where the environments end them."""
    return next((online.protocol for online in learned if online.of_dmc), OWN)


def evaluated_in(online: OnlineConfig) -> EnvConfig:
    """Where an agent is measured: whole episodes, decided at the environment's own rate.

    Episodes of an environment that names no time limit last as long as those that it learned from.
    """
    if not online.of_dmc:
        env = EnvConfig(online.task, cameras=online.cameras)
        with closing(blind(env).make()) as made:
            return env if limit_of(made) else replace(env, time_limit=online.length)
    env = EnvConfig(online.task, protocol=online.protocol, cameras=online.cameras)
    return seen_by(online.encoder, env)


def _agent_rows(
    config: LearnConfig, trial: EvalConfig, folder: Path, book: EpisodeCache
) -> list[Row]:
    """Episodes of the agent; those that are to be filmed are."""
    online = config.online
    name, prior = _names(online)
    filmed = config.film if online.of_dmc else 0  # others need not have a camera for that
    films = {seed: f"{name}-seed-{seed}" for seed in range(filmed)}
    unfilmed = [s for s, film in films.items() if not film_path(folder, film).exists()]
    factory = MPCFactory(str(folder / MODEL), config.planner, online.encoder, online.device)
    agent = assess_policy(trial, name, factory, book, film=unfilmed)
    save_films(folder, {films[seed]: frames for seed, frames in agent.films.items()})
    rows = agent.rows
    if prior is None:
        return rows
    rows += assess_policy(trial, prior, without_search(factory), book).rows
    for steps in online.keep:
        kept = replace(factory, checkpoint=str(folder / KEPT / str(steps)))
        if not Path(kept.checkpoint).exists():
            continue  # the steps were spent before
        if config.searched is None or steps in config.searched:
            rows += assess_policy(trial, f"{name}@{steps}", kept, book).rows
        rows += assess_policy(trial, f"{prior}@{steps}", without_search(kept), book).rows
    return rows


def without_search(factory: MPCFactory) -> MPCFactory:
    """The same agent acting by its action prior alone."""
    return replace(factory, search=replace(factory.search, prior_weight=ALONE))


def _names(online: OnlineConfig) -> tuple[str, str | None]:
    """Of the agent in tables, and of its prior without a search where that is measured, too."""
    names: dict[Method, tuple[str, str | None]] = {
        "taught": ("mpc", None),
        "mpc": ("mpc-pixels", "prior-pixels"),
        "sac": ("mpc-sac", "sac"),
    }
    agent, prior = names[online.method]
    if not online.joints:
        return agent, prior
    return f"{agent}{FELT}", None if prior is None else f"{prior}{FELT}"


def _rival_rows(
    config: LearnConfig, trial: EvalConfig, folder: Path, book: EpisodeCache
) -> list[Row]:
    """Episodes of the inverse model, which follows demonstrations and imagines nothing."""
    shown = TRAINING_SEEDS[: config.shown]
    console.print(f"{trial.task}: learn to follow, record {len(shown)} demonstrations")
    place = folder / "demonstrations"
    return inverse_rows(teaching(config), trial, folder / "model", place, book, shown)


def teaching(config: LearnConfig) -> TeachConfig:
    """How a learned model follows what it is shown."""
    online = config.online
    return TeachConfig(
        heads=config.heads, protocol=online.protocol, encoder=online.encoder, steps=config.steps
    )


def run(
    config: LearnConfig,
    tasks: Sequence[str],
    folder: Path,
    workers: int = 1,
    changes: OnlineChanges = NO_CHANGES,
) -> Result:
    """Learn and measure several tasks, one after the other.

    Args:
        config: sizes; each task's own settings replace its defaults.
        tasks: ids; those measured on if empty.
        folder: each task has a folder of its own in it.
        workers: processes that evaluate.
        changes: to every task's own settings.

    Raises:
        ForesightError: as `learn_task`.
    """
    rows: list[Row] = []
    learned = to_learn(config, tasks, changes)
    for name, online in learned.items():
        rows += learn_task(replace(config, online=online), folder / folder_name(name), workers)
    settings = {**asdict(config), "tasks": list(learned), "learned": learned}
    return make_result("planning", settings, protocol_of(*learned.values()), rows)


def to_learn(
    config: LearnConfig, tasks: Sequence[str], changes: OnlineChanges = NO_CHANGES
) -> dict[str, OnlineConfig]:
    """How each task is learned, by its name; arguments as of `run`.

    Raises:
        ForesightError: there is no such task.
    """
    names = [task_name(task) for task in tasks] or MEASURED_TASKS
    method = changes.method or "taught"
    return {name: changes.applied(online_of(config, name, method)) for name in names}


def _first_seconds(path: Path, seconds: dict[str, float]) -> dict[str, float]:
    """Wall seconds of the run that did each stage; later ones only read what it left."""
    kept = read_json(path) if path.exists() else {}
    found = {name: float(value) for name, value in {**seconds, **kept}.items()}
    if found != kept:
        write_json(path, found)
    return found


def _trial_rows(task: str, log: list[Row]) -> list[Row]:
    """What each trust earned along the steps, one number for each round in which it was tried."""
    return [
        {"measure": name.replace("/", ":"), "task": task, "steps": line["steps"], "value": value}
        for line in log
        for name, value in line.items()
        if name.startswith("trial/")
    ]


def _curve(task: str, log: list[Row]) -> list[Row]:
    """Mean training return along the steps, about twenty points."""
    size = max(1, len(log) // 20)
    parts = [log[i : i + size] for i in range(0, len(log), size)]
    return [
        {
            "measure": "training-return",
            "task": task,
            "steps": part[-1]["steps"],
            "value": sum(line["return"] for line in part) / len(part),
        }
        for part in parts
    ]
