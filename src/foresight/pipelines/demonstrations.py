"""Who shows a task to a robot that is taught, and the rival that follows without imagining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.data.dataset import Dataset
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy, seen_by
from foresight.evaluation.baselines import TRAINING_SEEDS
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.statistics import Row
from foresight.experts import has_expert
from foresight.policies.taught import FollowConfig, NearestFactory, TaughtConfig
from foresight.policies.taught.heads import heads_identity
from foresight.policies.taught.planner import FOLLOWING
from foresight.rollout.collect import collect
from foresight.rollout.episode import EpisodeSpec
from foresight.training.taught import taught_heads

RIVALS = ("inverse", "open-loop", "constant")


@dataclass(frozen=True)
class TeachConfig:
    """What is taught, and on how many seeds it is measured."""

    heads: TaughtConfig = field(default_factory=TaughtConfig)
    """What is learned from the model's episodes, without any reward."""
    follow: FollowConfig = FOLLOWING
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
        heads=TaughtConfig(longest=8, hidden=32, updates=30, batch=32),
        follow=replace(FOLLOWING, samples=16, elites=4, iterations=2, prior_samples=4),
        seeds=2,
        steps=20,
    )
    return {"full": TeachConfig(), "smoke": smoke}


def demonstrator_of(task: str) -> str:
    """Who shows a task: its scripted expert, or else the oracle.

    Raises:
        ForesightError: it has neither.
    """
    for expert in ("expert", "oracle"):
        if has_expert(expert, task):
            return expert
    raise ForesightError(
        f"Nobody can show {task}: it has no scripted expert and no oracle, give a video of it."
    )


def record(
    task: str, seeds: Sequence[int], config: TeachConfig, folder: Path, workers: int = 1
) -> Dataset:
    """One demonstration for each seed, as a dataset; what is recorded already stays.

    Raises:
        ForesightError: nobody can show the task, or the dataset is of another plan.
    """
    env = seen_by(config.encoder, EnvConfig(task, protocol=config.protocol))
    specs = [EpisodeSpec(env, seed, demonstrator_of(task), config.steps) for seed in seeds]
    return collect(folder, specs, workers)


def inverse_rows(
    config: TeachConfig,
    trial: EvalConfig,
    model: Path,
    folder: Path,
    book: EpisodeCache,
    shown: Sequence[int] = TRAINING_SEEDS,
) -> list[Row]:
    """The goal-conditioned inverse model as a rival of an agent that plans for reward.

    It is shown the task's expert on training seeds and follows, without imagining anything, the
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
    trial = replace(trial, env=seen_by(config.encoder, trial.env))
    rows = assess_policy(trial, "inverse-model", factory, book, data=data).rows
    value = report.inverse_r2
    return [*rows, {"measure": "heads:inverse_r2", "task": trial.task, "value": value}]
