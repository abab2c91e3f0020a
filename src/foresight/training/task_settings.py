"""What makes an agent good at a task: how its learning differs from the usual settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from foresight.envs.dmc.tasks import canonical
from foresight.training.learner_config import LearnerConfig
from foresight.training.online import ImproveConfig

LAW: dict[str, object] = {
    "teacher": "expert",
    "start": 32,
    "demonstrations": 96,
    "relabel": 1.0,
    "updates": 0.4,
    "steps": 60_000,
}
"""Settings of a task whose teacher is a feedback law: cheap, so it is always asked."""
TASKS: dict[str, dict[str, object]] = {
    "reacher-easy": {
        "teacher": "expert",
        "length": 40,
        "start": 960,
        "demonstrations": 960,
        "relabel": 1.0,
        "updates": 0.3,
        "learn": LearnerConfig(member_share=1.0),
    },
    "point_mass-easy": {
        "teacher": "expert",
        "start": 80,
        "demonstrations": 280,
        "relabel": 1.0,
    },
    "cartpole-swingup": LAW,
    "walker-walk": LAW,
    "cheetah-run": LAW,
    "finger-spin": LAW,
    "hopper-hop": LAW,
    "cup-catch": {**LAW, "length": 100, "demonstrations": 240},
}
"""What differs from `ImproveConfig` for a task. Where a goal is drawn for each episode, many short
episodes show many goals: an adapter learns a few hundred by heart and reads any of 2,000."""

ALONE: dict[str, object] = {"teacher": None, "demonstrations": 0, "start": 64}
"""Settings of a task for which there is no teacher."""


def settings_of(task: str) -> Mapping[str, object]:
    """What differs from `ImproveConfig` for a task.

    Raises:
        ForesightError: there is no such task.
    """
    return TASKS.get(canonical(task), ALONE)


def task_config(task: str, **changes: object) -> ImproveConfig:
    """The settings of a task, with changes.

    Raises:
        ForesightError: there is no such task.
    """
    name = canonical(task)
    own = {**settings_of(name), **changes}
    return replace(ImproveConfig(task=name), **own)  # type: ignore[arg-type]
