"""Teach by showing, measured: one demonstration for each episode, and no reward at test time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import console
from foresight.core.provenance import git_revision
from foresight.data.dataset import Dataset
from foresight.envs.dmc.tasks import canonical
from foresight.envs.registry import EnvConfig, blind
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import TRAINING_SEEDS
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig, simulator_version, success_threshold
from foresight.evaluation.episodes import policy_hash
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, returns_by_seed
from foresight.experts.shifts import Kind, Shift, movable_goal
from foresight.pipelines import learn as planning
from foresight.pipelines.demonstrations import RIVALS, TeachConfig, presets, record
from foresight.policies import MakePolicy, NamedPolicy
from foresight.policies.taught import TaughtFactory
from foresight.policies.taught.heads import heads_identity
from foresight.training.online import OnlineTrainer
from foresight.training.taught import taught_heads
from studies.registry import Request
from studies.replay import ReplayFactory

TASKS = ("reacher-easy", "point_mass-easy", "cartpole-swingup", "walker-walk", "cup-catch")
"""What is measured if no task is named."""


def cases(task: str) -> tuple[Kind, ...]:
    """How episodes of a task begin: as shown, elsewhere, and with another goal if it has one."""
    found: tuple[Kind, ...] = ("faithful", "start-shifted")
    return (*found, "goal-shifted") if movable_goal(task) else found


def teach_task(
    config: TeachConfig, task: str, model: Path, folder: Path, workers: int = 1
) -> list[Row]:
    """Measure one task; a killed run goes on where it was.

    Args:
        config: sizes.
        task: its id.
        model: folder that `foresight learn` wrote for it, with its rounds.
        folder: for demonstrations and finished rows.
        workers: processes.

    Returns:
        Rows of the demonstrations, of the taught agent (conditions ``faithful``,
        ``start-shifted``, ``goal-shifted``) and of its rivals in each case, the share of the
        demonstration's return that each reached, and what the heads are worth.

    Raises:
        ForesightError: there is no such model, or nobody can show the task.
    """
    console.print(f"[bold]{task}[/]: learn to follow, record {config.seeds} demonstrations")
    _, report = taught_heads(model, config.heads)
    seeds = tuple(range(config.seeds))
    store = record(task, seeds, config, folder / "demonstrations", workers)
    env = seen_by(config.encoder, EnvConfig(task, protocol=config.protocol))
    trial = EvalConfig(env, seeds, config.steps, workers)
    book = EpisodeCache(folder / "rows.jsonl")
    shown = _demonstration_rows(store, config)
    rows = list(shown)
    data = fingerprint([store.fingerprint, heads_identity(model, config.heads)])
    for case in cases(task):
        for condition, factory in _contenders(config, task, model, store, case, book):
            rows += assess_policy(
                trial, condition, factory, book, start=Shift(case), data=data
            ).rows
    rows += _shares(task, rows, shown)
    rows += [{"measure": f"heads:{k}", "task": task, "value": v} for k, v in asdict(report).items()]
    return rows


def _contenders(
    config: TeachConfig, task: str, model: Path, store: Dataset, case: Kind, book: EpisodeCache
) -> list[tuple[str, MakePolicy]]:
    """Conditions of a case: the taught agent under the case's name, and its rivals."""
    demos = str(store.path)
    planner = TaughtFactory(str(model), demos, "plan", config.encoder, config.follow)
    found: list[tuple[str, MakePolicy]] = [(case, planner)]
    suffix = "" if case == "faithful" else f"-{case}"
    for rival in config.rivals:
        factory: MakePolicy
        if rival == "inverse":
            factory = replace(planner, way="inverse")
        elif rival == "open-loop":
            factory = ReplayFactory(demos)
        elif rival == "constant":
            seeds = TRAINING_SEEDS if config.steps is None else TRAINING_SEEDS[:1]
            env = blind(EnvConfig(task, protocol=config.protocol, time_limit=config.steps))
            factory = NamedPolicy(book.constant(env, seeds), env.id)
        else:
            raise ForesightError(f"Rival {rival!r}: expected one of {', '.join(RIVALS)}.")
        found.append((rival + suffix, factory))
    return found


def _demonstration_rows(store: Dataset, config: TeachConfig) -> list[Row]:
    """The demonstrations themselves as rows of condition ``demonstration``."""
    return [
        {
            "task": meta.task,
            "condition": "demonstration",
            "seed": meta.info["seed"],
            "return": meta.return_ or 0.0,
            "success": (meta.return_ or 0.0) > success_threshold(meta.info["protocol"]),
            "length": meta.length,
            "git": git_revision(),
            "config_hash": policy_hash(
                seen_by(config.encoder, EnvConfig(meta.task, protocol=config.protocol)),
                NamedPolicy(meta.info["policy"], meta.task),
                config.steps,
            ),
            "simulator": simulator_version(EnvConfig(meta.task)),
            "behaviour": meta.info["policy"],
        }
        for meta in store.metas
        if meta.info["seed"] < config.seeds
    ]


def _shares(task: str, rows: list[Row], shown: list[Row]) -> list[Row]:
    """Return over the mean return of the demonstrations, episode by episode."""
    most = sum(row["return"] for row in shown) / len(shown)
    if most < 1:  # a share of next to nothing says nothing
        return []
    others = list(dict.fromkeys(r["condition"] for r in rows if r["condition"] != "demonstration"))
    return [
        {
            "measure": "share-of-demonstration",
            "task": task,
            "condition": name,
            "value": value / most,
        }
        for name in others
        for value in returns_by_seed(rows, task, name).values()
    ]


def reproduce(request: Request) -> Result:
    """Measure the tasks that are asked for; others in the result file stay.

    Raises:
        ForesightError: as `teach_task`, or the file holds something else.
    """
    sizes = replace(presets()[request.preset], encoder=request.encoder)
    if request.seeds is not None:
        sizes = replace(sizes, seeds=request.seeds)
    folder = request.folder
    if not request.smoke:
        before = earlier(request.target, request.name, sizes.protocol)
        result = run(sizes, request.tasks, request.models, folder, request.processes)
        return beside(result, before)
    tasks = request.tasks or ("point_mass-easy",)
    for task in tasks:
        online = planning.presets()["smoke"].online
        online = replace(online, task=canonical(task), encoder=sizes.encoder)
        OnlineTrainer(online, folder / "models" / online.task).run()
    return run(sizes, tasks, folder / "models", folder, request.processes)


def run(
    config: TeachConfig, tasks: Sequence[str], models: Path, folder: Path, workers: int = 1
) -> Result:
    """Measure several tasks, one after the other.

    Args:
        config: sizes.
        tasks: ids; `TASKS` if empty.
        models: folder of `foresight learn`, with ``TASK/model`` in it.
        folder: each task has a folder of its own in it.
        workers: processes.

    Raises:
        ForesightError: as `teach_task`.
    """
    rows: list[Row] = []
    names = [canonical(task) for task in tasks] or list(TASKS)
    for name in names:
        rows += teach_task(config, name, models / name / "model", folder / name, workers)
    return make_result("teach", {**asdict(config), "tasks": names}, config.protocol, rows)
