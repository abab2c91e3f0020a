"""Names of the dm_control suite's tasks, in the spelling of the field: ``reacher-easy``."""

from __future__ import annotations

import difflib

from foresight.core.errors import ForesightError

MEASURED_TASKS = (
    "reacher-easy",
    "point_mass-easy",
    "cartpole-swingup",
    "walker-walk",
    "cheetah-run",
    "finger-spin",
    "hopper-hop",
    "cup-catch",
)
"""The eight tasks that agents are measured on."""

# Written down, so that a list of tasks needs no simulator. A test compares it with the suite.
SUITE = {
    "acrobot": "swingup swingup_sparse",
    "ball_in_cup": "catch",
    "cartpole": "balance balance_sparse swingup swingup_sparse two_poles three_poles",
    "cheetah": "run",
    "dog": "stand walk trot run fetch",
    "finger": "spin turn_easy turn_hard",
    "fish": "upright swim",
    "hopper": "stand hop",
    "humanoid": "stand walk run run_pure_state",
    "humanoid_CMU": "stand walk run",
    "lqr": "lqr_2_1 lqr_6_2",
    "manipulator": "bring_ball bring_peg insert_ball insert_peg",
    "pendulum": "swingup",
    "point_mass": "easy hard",
    "quadruped": "walk run escape fetch",
    "reacher": "easy hard",
    "stacker": "stack_2 stack_4",
    "swimmer": "swimmer6 swimmer15",
    "walker": "stand walk run",
}
"""dm_control's domains and their tasks."""

ALIASES = {"ball_in_cup": "cup"}
"""dm_control's domain name → the name that papers use."""


def task_ids() -> list[str]:
    """All tasks of the dm_control suite as ``domain-task``, sorted."""
    return sorted(_TABLE)


def resolve(task: str) -> tuple[str, str]:
    """The dm_control ``(domain, task)`` of an id; ``ball_in_cup-catch`` is accepted too.

    Raises:
        ForesightError: no such task; the message names the closest ones.
    """
    found = _TABLE.get(canonical(task))
    if found is None:
        close = difflib.get_close_matches(str(task), task_ids(), n=3, cutoff=0.4)
        raise ForesightError(
            f"Unknown task {task!r}: expected a dm_control id such as "
            f"{', '.join(close or MEASURED_TASKS[:3])}."
        )
    return found


def canonical(task: str) -> str:
    """The one spelling of a task id that results and files use."""
    domain, separator, rest = str(task).partition("-")
    return ALIASES.get(domain, domain) + separator + rest


_TABLE = {
    canonical(f"{domain}-{task}"): (domain, task)
    for domain, tasks in SUITE.items()
    for task in tasks.split()
}
