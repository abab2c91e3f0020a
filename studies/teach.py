"""Teach by showing, measured: one demonstration for each episode, and no reward at test time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import console
from foresight.core.provenance import git_revision
from foresight.data.store import EpisodeStore
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.dmc.tasks import canonical
from foresight.evaluation.assess import Factory, Trial, assess_agent, camera
from foresight.evaluation.baselines import TRAINING_SEEDS, RowBook, has_teacher
from foresight.evaluation.episodes import (
    behaviour_hash,
    simulator_version,
    success_threshold,
)
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, returns_by_seed
from foresight.experts.shifts import Kind, Shift, movable_goal
from foresight.policies.taught import (
    ConstantFactory,
    FollowConfig,
    NearestFactory,
    ReplayFactory,
    TaughtConfig,
    TaughtFactory,
    taught_heads,
)
from foresight.policies.taught.heads import heads_identity
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec

TASKS = ("reacher-easy", "point_mass-easy", "cartpole-swingup", "walker-walk", "cup-catch")
"""What is measured if no task is named."""
RIVALS = ("inverse", "open-loop", "constant")


@dataclass(frozen=True)
class TeachConfig:
    """What is taught, and on how many seeds it is measured."""

    heads: TaughtConfig = field(default_factory=TaughtConfig)
    """What is learned from the rounds of the model, without any reward."""
    follow: FollowConfig = field(default_factory=FollowConfig)
    """How a demonstration is followed."""
    protocol: str = "seed200"
    """Of demonstrations and episodes."""
    encoder: str = "foresight-small"
    """The model's eyes."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …, each with a demonstration of its own."""
    rivals: tuple[str, ...] = RIVALS
    """Rivals on the same seeds and starts: inverse (the inverse model alone), open-loop (the
    demonstration's actions again), constant."""
    steps: int | None = None
    """Cut demonstrations and episodes short (smoke runs)."""


def presets() -> dict[str, TeachConfig]:
    """The named sizes."""
    smoke = TeachConfig(
        heads=TaughtConfig(dims=8, longest=8, hidden=32, updates=30, batch=32),
        follow=FollowConfig(samples=16, elites=4, iterations=2, prior_samples=4),
        seeds=2,
        steps=20,
    )
    return {"full": TeachConfig(), "smoke": smoke}


def teacher_of(task: str) -> str:
    """Who shows a task: its scripted expert, or else the oracle.

    Raises:
        ForesightError: it has neither.
    """
    for teacher in ("expert", "oracle"):
        if has_teacher(teacher, task):
            return teacher
    raise ForesightError(
        f"Nobody can show {task}: it has no scripted expert and no oracle, give a video of it."
    )


def record(
    task: str, seeds: Sequence[int], config: TeachConfig, folder: Path, workers: int = 1
) -> EpisodeStore:
    """One demonstration for each seed, as a dataset; what is recorded already stays.

    Raises:
        ForesightError: nobody can show the task, or the dataset is of another plan.
    """
    teacher, render = teacher_of(task), camera(config.encoder)
    specs = [
        EpisodeSpec(task, seed, teacher, config.protocol, render, config.steps) for seed in seeds
    ]
    return collect(folder, specs, workers)


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
    trial = Trial(task, seeds, config.protocol, config.steps, workers)
    book = RowBook(folder / "rows.jsonl")
    shown = _demonstration_rows(store, config)
    rows = list(shown)
    data = fingerprint([store.fingerprint, heads_identity(model, config.heads)])
    for case in cases(task):
        for condition, factory in _contenders(config, task, model, store, case, book):
            rows += assess_agent(
                trial,
                condition,
                factory,
                camera(config.encoder),
                book,
                start=Shift(case),
                data=data,
            ).rows
    rows += _shares(task, rows, shown)
    rows += [{"measure": f"heads:{k}", "task": task, "value": v} for k, v in asdict(report).items()]
    return rows


def inverse_rows(
    config: TeachConfig,
    trial: Trial,
    model: Path,
    folder: Path,
    book: RowBook,
    shown: Sequence[int] = TRAINING_SEEDS,
) -> list[Row]:
    """The goal-conditioned inverse model as a rival of an agent that plans for reward.

    It is shown the task's teacher on training seeds and follows, without imagining anything, the
    demonstration that begins most like the episode. So it sees no more of the episode than the
    agent does, other than the rival ``inverse`` of `teach_task`.

    Args:
        config: of heads and following; protocol, eyes and length must be the trial's.
        trial: task and seeds.
        model: folder that `foresight learn` wrote, with its rounds.
        folder: for the demonstrations.
        book: finished rows.
        shown: seeds of the demonstrations.

    Returns:
        Rows of condition ``inverse-model``, and ``heads:inverse_r2``.

    Raises:
        ForesightError: nobody can show the task, a protocol that repeats actions, or a model
            without rounds.
    """
    if get_protocol(trial.protocol).repeat > 1:
        raise ForesightError(
            f"Demonstrations are followed at the task's own rate, and {trial.protocol} repeats "
            "actions: measure the inverse model with seed200."
        )
    _, report = taught_heads(model, config.heads)
    store = record(trial.task, shown, config, folder, trial.workers)
    factory = NearestFactory(str(model), str(store.path), "inverse", config.encoder, config.follow)
    data = fingerprint([store.fingerprint, heads_identity(model, config.heads)])
    render = camera(config.encoder)
    rows = assess_agent(trial, "inverse-model", factory, render, book, data=data).rows
    value = report.inverse_r2
    return [*rows, {"measure": "heads:inverse_r2", "task": trial.task, "value": value}]


def _contenders(
    config: TeachConfig, task: str, model: Path, store: EpisodeStore, case: Kind, book: RowBook
) -> list[tuple[str, Factory]]:
    """Conditions of a case: the taught agent under the case's name, and its rivals."""
    demos = str(store.path)
    planner = TaughtFactory(str(model), demos, "plan", config.encoder, config.follow)
    found: list[tuple[str, Factory]] = [(case, planner)]
    suffix = "" if case == "faithful" else f"-{case}"
    for rival in config.rivals:
        factory: Factory
        if rival == "inverse":
            factory = replace(planner, way="inverse")
        elif rival == "open-loop":
            factory = ReplayFactory(demos)
        elif rival == "constant":
            seeds = TRAINING_SEEDS if config.steps is None else TRAINING_SEEDS[:1]
            spec = book.constant(task, config.protocol, seeds).partition(":")[2]
            factory = ConstantFactory(tuple(float(part) for part in spec.split(",")))
        else:
            raise ForesightError(f"Rival {rival!r}: expected one of {', '.join(RIVALS)}.")
        found.append((rival + suffix, factory))
    return found


def _demonstration_rows(store: EpisodeStore, config: TeachConfig) -> list[Row]:
    """The demonstrations themselves as rows of condition ``demonstration``."""
    render = camera(config.encoder)
    return [
        {
            "task": meta.task,
            "condition": "demonstration",
            "seed": meta.seed,
            "return": meta.return_,
            "success": meta.return_ > success_threshold(meta.protocol),
            "length": meta.length,
            "git": git_revision(),
            "config_hash": behaviour_hash(
                meta.task, meta.behaviour, meta.protocol, render, config.steps
            ),
            "simulator": simulator_version(),
            "behaviour": meta.behaviour,
        }
        for meta in store.metas
        if meta.seed < config.seeds
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
