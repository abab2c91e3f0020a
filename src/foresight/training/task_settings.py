"""What makes an agent good at a task: how its learning differs from the usual settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from foresight.envs.dmc.tasks import canonical
from foresight.envs.factories import full_id
from foresight.training.learner_config import LearnerConfig
from foresight.training.online_config import DMC, Algorithm, OnlineConfig, Way

LAW: dict[str, Any] = {
    "expert": "expert",
    "random_episodes": 32,
    "demonstrations": 96,
    "relabel": 1.0,
    "updates": 0.4,
    "steps": 60_000,
}
"""Settings of a task whose expert is a feedback law: cheap, so it is always asked."""
TASKS: dict[str, dict[str, Any]] = {
    "reacher-easy": {
        "expert": "expert",
        "length": 40,
        "random_episodes": 960,
        "demonstrations": 960,
        "relabel": 1.0,
        "updates": 0.3,
        "learner": LearnerConfig(member_share=1.0),
    },
    "point_mass-easy": {
        "expert": "expert",
        "random_episodes": 80,
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
"""What differs from `OnlineConfig` for a task. Where a goal is drawn for each episode, many short
episodes show many goals: an adapter learns a few hundred by heart and reads any of 2,000."""

ALONE: dict[str, Any] = {"expert": None, "demonstrations": 0, "random_episodes": 64}
"""Settings of a task for which there is no expert."""
PIXELS: dict[str, Any] = {**ALONE, "proprio": False, "trials_every": 2, "final_trials": 8}
"""Settings of any task that is learned from pictures and reward alone."""

SAC: dict[str, Any] = {
    **ALONE,
    "proprio": False,
    "algorithm": "sac",
    "random_episodes": 32,
    "updates": 0.5,
    "discount": 0.99,
    "shifts": 1,
    "final_trials": 8,
}
"""Settings of any task that soft actor-critic learns."""
SAC_LENGTH = 250
"""Environment steps of its training episodes in dm_control, whose tasks never end one: a quarter of
the field's, so that what was learned acts four times as soon."""


def task_name(task: str) -> str:
    """A task's short name: ``reacher-easy``; the id of another environment.

    Raises:
        ForesightError: there is no such task.
    """
    found = full_id(task)
    return canonical(found.removeprefix(DMC)) if found.startswith(DMC) else found


def folder_name(task: str) -> str:
    """A name of a folder for a task."""
    return re.sub(r"[^\w.-]+", "-", task_name(task))


def settings_of(
    task: str, way: Way = "taught", algorithm: Algorithm = "planner"
) -> Mapping[str, Any]:
    """What differs from `OnlineConfig` for a task that is learned in one way; sac needs no other.

    Raises:
        ForesightError: there is no such task.
    """
    name = task_name(task)
    if algorithm == "sac":
        return {**SAC, "length": SAC_LENGTH} if full_id(name).startswith(DMC) else SAC
    return TASKS.get(name, ALONE) if way == "taught" else PIXELS


def task_config(
    task: str, way: Way = "taught", algorithm: Algorithm = "planner", **changes: Any
) -> OnlineConfig:
    """The settings of a task, with changes: what ``foresight learn TASK`` learns with.

    Raises:
        ForesightError: there is no such task.
    """
    return replace(
        OnlineConfig(task=task_name(task)), **{**settings_of(task, way, algorithm), **changes}
    )
