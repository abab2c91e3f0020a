"""Recipe ``spot-new-task``: freeze what walking by commands has learned, and do something else.

Spot walks where a mark stands, and learns a model of what it sees from pictures and the reward of
walking straight on. Frozen, the model is then used to face the mark, to come level with it by
sidestepping, and to go to it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from foresight.core.progress import console
from foresight.envs.spot.mark import WALK
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary
from foresight.planning.config import MPCConfig
from foresight.policies.mpc import MPCFactory
from foresight.training.imagination_run import ActorTraining
from foresight.training.learner_config import LearnerConfig
from foresight.training.online_sac import trainer_of
from foresight.training.run_data import MODEL
from foresight.training.task_settings import PIXELS
from foresight.worldmodel.heads.training import HeadTraining
from studies.new_reward.learning import HELD_OUT, dreams, learn
from studies.new_reward.measuring import SCRATCH, differences, ours_beside_old
from studies.registry import Request
from studies.spot_new_task.aims import (
    DECISIONS,
    ID,
    NEW,
    PROTOCOL,
    Aim,
    AimConfig,
    MarkExpertFactory,
    aim,
)
from studies.tiny import tiny_learning

NAME = "spot-new-task"
CAMERAS = ("wide", "side")
"""One that turns with Spot and sees what lies aside, one that keeps its direction in the world."""
WALKING: dict[str, Any] = {
    **PIXELS,
    "task": ID,
    "cameras": CAMERAS,
    "length": DECISIONS,
    "repeat": 1,
    "steps": 17_600,
    "random_episodes": 120,
    "trials_every": 0,
    "final_trials": 2,
    "representation_updates": 2400,
    "representation_phases": 2,
    "finetune_updates": 5000,
    "exploration": "switch:0.1",
    "learner": LearnerConfig(pictures=1.0),
}
"""How walking is learned: 29 minutes, two thirds of them commands that switch at random, so that
Spot is seen to turn, to sidestep and to pass the mark on every side. States tell what the frozen
encoder sees, for walking alone gives no reason to keep the mark in them."""


@dataclass(frozen=True)
class SpotNewTaskConfig:
    """Which tasks, and how much is learned and measured."""

    aims: tuple[str, ...] = NEW
    """New tasks."""
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    learn: dict[str, Any] = field(default_factory=dict)
    """What is otherwise than `WALKING` has it, for the frozen model and from scratch."""
    head: HeadTraining = field(default_factory=HeadTraining)
    """How the reward is learned."""
    held_out: int = HELD_OUT
    """Every so many episodes one is not learned from."""
    dream: ActorTraining = field(default_factory=lambda: dreams(2500))
    """How actor and critic learn in imagination."""
    search: MPCConfig = field(default_factory=lambda: MPCConfig(prior_weight=0.5))
    """The search; the actor proposes."""
    baselines: tuple[str, ...] = ("zero", "random", "constant")
    """Conditions beside them."""
    scratch: bool = True
    """Learn every task from nothing, too, by acting as long as for the frozen model; this takes
    longer than everything else."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, SpotNewTaskConfig]:
    """The named sizes: full, short without starting again, smoke."""
    tiny = {**tiny_learning(final_trials=0), "steps": 96, "length": 12}
    smoke = SpotNewTaskConfig(
        aims=("turn",),
        seeds=2,
        learn=tiny,
        head=HeadTraining(updates=4, batch=8),
        held_out=2,
        dream=dreams(4),
        search=MPCConfig(samples=16, elites=4, iterations=1, prior_samples=4, prior_weight=0.5),
        baselines=("zero", "random"),
        steps=8,
    )
    full = SpotNewTaskConfig()
    return {"full": full, "short": replace(full, scratch=False), "smoke": smoke}


def run(config: SpotNewTaskConfig, folder: Path, workers: int = 1) -> Result:
    """Learn to walk, freeze the model, learn and measure every new task; nothing is done twice.

    Rows: episodes of ``planned``, ``actor``, ``old-policy``, ``scratch``, ``oracle`` and the
    baselines, under the task's name; ``reward-r2``, on held-out episodes, and ``reward-mean`` of
    the recorded data. The summary adds what ours earn beside ``old-policy``, ``best-trivial`` and
    ``scratch``, as ``<ours>-minus-<rival>/<task>``.

    Raises:
        ForesightError: an unknown task, Spot's model is missing, or a folder of another run.
    """
    aims = [aim(key) for key in config.aims]  # refused now, not after an hour
    checkpoint = _learned(config, WALK, folder / WALK)
    rows: list[Row] = []
    summary: Summary = {}
    for each in aims:
        found = _measured(config, each, checkpoint, folder / each.key, workers)
        rows += found
        summary |= differences(found, each.key)
    told = {**asdict(config), "walking": WALKING}
    return make_result(NAME, told, PROTOCOL, rows, summary)


def _learned(config: SpotNewTaskConfig, key: str, folder: Path) -> Path:
    """The checkpoint of an aim that is learned by acting, going on where a killed run was."""
    console.print(f"[bold]{key}[/]: learn by acting")
    trainer_of(AimConfig(**{**WALKING, **config.learn}, aim=key), folder).run()
    return folder / MODEL


def _measured(
    config: SpotNewTaskConfig, task: Aim, checkpoint: Path, out: Path, workers: int
) -> list[Row]:
    """Rows of one task."""
    console.print(f"[bold]{task.key}[/]: relabel, learn a reward and dream")
    report = learn(task, checkpoint, out, config.head, config.dream, config.held_out)
    env = task.environment(config.learn.get("cameras", CAMERAS))
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, workers)
    book = EpisodeCache(out / "rows.jsonl")
    rows = ours_beside_old(trial, checkpoint, out, config.search, book)
    if config.scratch:
        fresh = _learned(config, task.key, out / SCRATCH)
        rows += assess_policy(trial, SCRATCH, MPCFactory(str(fresh)), book).rows
    rows += assess_policy(replace(trial, env=task.environment(())), "oracle",
                          MarkExpertFactory(), book).rows  # fmt: skip
    rows += paired_baselines(trial, config.baselines, book)
    told = [{"measure": name, "value": value} for name, value in report.items()]
    return [{**row, "task": task.key} for row in rows + told]


def reproduce(request: Request) -> Result:
    """Of the command's tasks, seeds and encoder; other tasks in the file stay.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("seeds", tasks="aims"))
    if request.other_encoder is not None:
        config = replace(config, learn={**config.learn, "encoder": request.other_encoder})
    before = earlier(request.target, NAME, PROTOCOL)
    return beside(run(config, request.folder, request.processes), before)
