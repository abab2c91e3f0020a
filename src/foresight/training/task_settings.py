"""What makes an agent good at a task: how its learning differs from the usual settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from foresight.core.errors import ForesightError
from foresight.envs.dmc.tasks import canonical
from foresight.envs.factories import full_id
from foresight.training.learner_config import LearnerConfig
from foresight.training.online_config import DMC, Method, OnlineConfig

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

JOINTS: dict[str, tuple[int, ...]] = {
    "reacher-easy": (0, 1, 4, 5),
    "point_mass-easy": (0, 1, 2, 3),
    "cartpole-swingup": (0, 3),
    "walker-walk": (*range(14), *range(17, 24)),
    "cheetah-run": (*range(1, 8), *range(10, 17)),
    "finger-spin": (*range(6), 7, 8),
    "hopper-hop": (*range(1, 6), *range(8, 15)),
    "cup-catch": (0, 1, 4, 5),
}
"""Places of the robot's own joints in a task's state: angles and speeds of what its motors move,
how it is tilted and what touches it, as encoders, an inertial sensor and switches tell. Not where
or how fast it is in the world, nor anything of targets, balls, poles and spinners."""

ALONE: dict[str, Any] = {"expert": None, "demonstrations": 0, "random_episodes": 64}
"""Settings of a task for which there is no expert."""
PIXELS: dict[str, Any] = {**ALONE, "proprio": False, "trials_every": 2, "final_trials": 8}
"""Settings of any task that is learned from pictures and reward alone."""
MANY_GOALS: dict[str, dict[str, Any]] = {
    "reacher-easy": {
        "length": 40,
        "random_episodes": 640,
        "learner": LearnerConfig(member_share=1.0),
    },
}
"""What differs from `PIXELS` where a goal is drawn for each episode, for the reason of `TASKS`."""

SAC: dict[str, Any] = {
    **ALONE,
    "proprio": False,
    "algorithm": "sac",
    "random_episodes": 32,
    "updates": 0.5,
    "discount": 0.99,
    "learner": LearnerConfig(pictures=1.0),
    "shifts": 1,
    "finetune_updates": 5000,
    "final_trials": 4,
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


def own_joints(task: str) -> tuple[int, ...]:
    """`JOINTS` of a task.

    Raises:
        ForesightError: they are not known.
    """
    name = task_name(task)
    if name not in JOINTS:
        raise ForesightError(
            f"Nobody knows which numbers of {name}'s state are the robot's own joints: leave "
            f"--joints out, or choose one of {', '.join(JOINTS)}."
        )
    return JOINTS[name]


def settings_of(task: str, method: Method = "taught") -> Mapping[str, Any]:
    """What differs from `OnlineConfig` for a task that is learned by a method.

    Raises:
        ForesightError: there is no such task.
    """
    name = task_name(task)
    if method == "sac":
        return {**SAC, "length": SAC_LENGTH} if full_id(name).startswith(DMC) else SAC
    if method == "taught":
        return TASKS.get(name, ALONE)
    return {**PIXELS, **MANY_GOALS.get(name, {})}


def task_config(task: str, method: Method = "taught", **changes: Any) -> OnlineConfig:
    """The settings of a task, with changes: what ``foresight learn TASK`` learns with.

    Raises:
        ForesightError: there is no such task.
    """
    return replace(OnlineConfig(task=task_name(task)), **{**settings_of(task, method), **changes})
