"""Recipe ``dmc1000``: the same agent at the field's protocol, beside the field's figures."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foresight.core.metrics import MetricsLog, read_metrics
from foresight.core.progress import console
from foresight.core.spec import Spec
from foresight.data.dataset import Dataset
from foresight.data.layout import is_dataset
from foresight.envs.dmc.tasks import canonical
from foresight.envs.registry import EnvConfig, spec_of
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, returns_by_seed
from foresight.pipelines.learn import presets as planning_presets
from foresight.planning.config import MPCConfig
from foresight.policies.mpc import MPCFactory, hold_of
from foresight.rollout.vector import VectorRollout
from foresight.training.exploring import ExploringPolicy
from foresight.training.learner_config import LearnerConfig
from foresight.training.online import OnlineTrainer
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import DATA, EXPERT, run_of
from foresight.training.task_settings import task_config
from studies.field import table
from studies.learned import Learned, named

PROTOCOL = "dmc1000"
LONG: dict[str, dict[str, Any]] = {
    "cartpole-swingup": {
        "protocol": PROTOCOL,
        "parallel": 4,
        "random_episodes": 8,
        "demonstrations": 120,
        "expert_dropout": 60,
        "steps": 160_000,
        "updates": 0.08,
        "representation_updates": 8000,
        "representation_phases": 3,
        "history": 3,
        "learner": LearnerConfig(member_share=1.0, imitation_end=1.0, dropout=0.3),
        "planner": MPCConfig(members=2),
    },
}
"""What differs from how `foresight learn` learns a task. A pole that was swung up in 200 steps has
to be balanced for 800 more. For that the agent has to know its angle to .05 rad wherever it may
get, which takes pictures of many ways of falling and of getting up again."""
CURVE_SEED = 400_000
"""Episodes of the curve: apart from those of learning and of the evaluation."""
CURVE = "curve.jsonl"


@dataclass(frozen=True)
class FieldConfig:
    """Which tasks, for how long, and how they are measured."""

    tasks: tuple[str, ...] = ("reacher-easy", "cartpole-swingup", "cup-catch")
    """Task ids."""
    frames: int | None = None
    """Environment frames to learn from, the random ones of the start among them; if not given,
    as many as ``foresight learn`` takes for the task."""
    seeds: int = 20
    """Evaluation episodes of the final agent, seeds 0, 1, …"""
    points: int = 10
    """Points of the learning curve, evenly spread."""
    point_seeds: int = 4
    """Episodes of each of them."""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside the agent."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The search of the evaluated agent."""
    learn: OnlineConfig | None = None
    """Sizes of networks and rounds, if not those of the task."""
    encoder: str | None = None
    """The eyes to learn with, if not those of the task; learned models keep their own."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs), in decisions of the environment."""


def presets() -> dict[str, FieldConfig]:
    """The named sizes."""
    small = planning_presets()["smoke"]
    smoke = FieldConfig(
        tasks=("reacher-easy",),
        frames=small.online.steps,
        seeds=2,
        points=2,
        point_seeds=2,
        baselines=("zero", "random"),
        search=small.planner,
        learn=small.online,
        steps=20,
    )
    return {"full": FieldConfig(), "smoke": smoke}


def run(
    config: FieldConfig,
    folder: Path,
    workers: int = 1,
    learned: Sequence[Learned] = (),
) -> Result:
    """Learn every task, with a curve on the way, and measure the agent.

    It learns as ``foresight learn`` does, from episodes of at most 200 steps, or as `LONG` says of
    the task; the protocol is that of all measurements, the curve's among them.

    Rows: episodes of ``mpc`` and the baselines; ``curve`` with the frames seen until then; the
    ``environment-frames``, the ``demonstrations`` among them (episodes), and the
    ``taught-decisions``, for which the teacher said what it would have done. The configuration of
    each task, with its teacher, is kept as ``learnt``. Killed runs go on.

    Args:
        config: sizes.
        folder: each task has a folder of its own in it.
        workers: processes that evaluate.
        learned: models that were learned elsewhere, in whatever protocol. They are measured,
            without a curve, instead of learning their tasks; what they are is kept as ``models``.

    Raises:
        ForesightError: an unknown task, a folder of another run, or a model that holds its actions
            for an odd number of steps.
    """
    rows: list[Row] = []
    for one in learned:
        hold_of(one.model, _spec(one.task))  # refused before anything is measured
    for one in learned:
        console.print(f"[bold]{one.task}[/]: {one.checkpoint} in {PROTOCOL}")
        rows += _measured(config, one, workers)
    models = named(learned)
    learnt: dict[str, OnlineConfig] = {}
    for task in config.tasks:
        if task not in models:
            learn = config.learn or task_config(task, **LONG.get(canonical(task), {}))
            learnt[task] = replace(
                learn,
                task=task,
                steps=config.frames or learn.steps,
                encoder=config.encoder or learn.encoder,
            )
            rows += _learnt(config, learnt[task], folder / task, workers)
    about: dict[str, object] = {"tasks": [*models, *learnt]}
    about |= {"models": models} if models else {}
    about |= {"learnt": learnt} if learnt else {}
    return make_result("dmc1000", {**asdict(config), **about}, PROTOCOL, rows)


def _spec(task: str) -> Spec:
    """The robot of a task in the field's protocol."""
    with closing(EnvConfig(task, protocol=PROTOCOL, cameras=()).make()) as env:
        return spec_of(env)


def _measured(config: FieldConfig, one: Learned, workers: int) -> list[Row]:
    """Whole episodes of a learned agent and the baselines, and what the agent has learned from."""
    factory = MPCFactory(str(one.checkpoint), config.search)
    env = seen_by(one.model.config.encoder, EnvConfig(one.task, protocol=PROTOCOL))
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    book = EpisodeCache(one.work / "rows.jsonl")
    rows = assess_policy(trial, "mpc", factory, book).rows
    rows += paired_baselines(trial, config.baselines, book)
    frames = read_metrics(one.checkpoint / "metrics.jsonl")[-1]["steps"]
    counted = {"environment-frames": frames}
    data = run_of(one.checkpoint) / DATA
    if is_dataset(data):  # without it nobody knows
        counted["taught-decisions"] = taught_decisions(data)
    return rows + [{"measure": k, "task": one.task, "value": v} for k, v in counted.items()]


def _learnt(config: FieldConfig, learn: OnlineConfig, folder: Path, workers: int) -> list[Row]:
    """Learn one task on its own, with a curve, and measure it."""
    console.print(f"[bold]{learn.task}[/]: learn from {learn.steps:,} frames for {PROTOCOL}")
    curve = Curve(config, folder / CURVE)
    OnlineTrainer(learn, folder, curve).run()
    one = Learned(folder / "model", folder)
    rows = _measured(config, one, workers)
    rows += [
        {"measure": "curve", "task": one.task, "frames": row["step"], "value": row["return"]}
        for row in read_metrics(folder / CURVE)
    ]
    shown = {"measure": "demonstrations", "task": one.task, "value": learn.demonstrations}
    return [*rows, shown]


def taught_decisions(data: Path) -> int:
    """Decisions of all episodes for which an expert's answer was kept."""
    answers = Dataset.open(data).column(EXPERT, finite=False)
    return int(np.isfinite(answers).reshape(len(answers), -1).all(1).sum())


class Curve:
    """Called after every round: measures whole episodes of the agent, without noise, now and then.

    An agent that has not learned since the last point is not measured again.

    Args:
        config: how often, on how many episodes.
        path: of the points; those that are there are not measured again.
    """

    def __init__(self, config: FieldConfig, path: Path) -> None:
        self.config = config
        self.log = MetricsLog(path)
        self.done = {row["step"] for row in read_metrics(path)}
        self.last = max(self.done, default=0)
        self._latest: tuple[tuple[int, int], float] | None = None

    def __call__(self, run: OnlineTrainer) -> None:
        """Measure if the next point has come."""
        config = self.config
        frames = run.config.steps
        share = frames / config.points
        before, now = int(self.last / share), int(min(run.steps, frames) / share)
        if now <= before:
            return
        learned = run.learner.phases, run.learner.updates
        if self._latest is None or self._latest[0] != learned:
            self._latest = learned, self._play(run)
        self.last = run.steps
        self.log.write(run.steps, **{"return": self._latest[1]})

    def _play(self, run: OnlineTrainer) -> float:
        """Mean return of whole episodes."""
        config = self.config
        seeds = [CURVE_SEED + index for index in range(config.point_seeds)]
        hold = hold_of(run.model, _spec(run.config.task))
        length = None if config.steps is None else config.steps // hold
        known = run.collector.rollout.config
        environment = replace(known, protocol=PROTOCOL, action_repeat=hold, time_limit=length)
        policy = ExploringPolicy(run.model.eval(), run.encoder, config.search, explore=False)
        with (
            torch.random.fork_rng(devices=[]),
            VectorRollout(environment, len(seeds), images=False) as rollout,
        ):
            played = rollout.run(policy, seeds)
        run.model.train()
        return sum(episode.return_ for episode in played) / len(played)


def curve_csv(rows: Sequence[Row]) -> str:
    """Our curve and the field's figures: method, input, task, frames, return.

    An agent without a curve has one line, the mean of its evaluation at the frames it learned from.
    """
    tasks = dict.fromkeys(row["task"] for row in rows)
    return table({task: {"Foresight": _curve(rows, task)} for task in tasks}, tasks)


def _curve(rows: Sequence[Row], task: str) -> list[tuple[int, float]]:
    """Frames and returns of one task."""
    told = [row for row in rows if row["task"] == task and "measure" in row]
    curve = [(int(row["frames"]), row["value"]) for row in told if row["measure"] == "curve"]
    if curve:
        return curve
    frames = [int(row["value"]) for row in told if row["measure"] == "environment-frames"]
    returns = list(returns_by_seed(rows, task, "mpc").values())
    return [(frames[0], sum(returns) / len(returns))]
