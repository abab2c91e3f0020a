"""Names of the dm_control suite's tasks, in the spelling of the field: ``reacher-easy``."""

from __future__ import annotations

import difflib
from functools import cache

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.envs.gl import choose_gl

choose_gl(required=False)  # before anything imports MuJoCo

SOURCE_TASKS = (
    "reacher-easy",
    "point_mass-easy",
    "cartpole-swingup",
    "walker-walk",
    "cheetah-run",
    "finger-spin",
    "hopper-hop",
    "cup-catch",
)
"""The eight tasks that the source documents report."""

ALIASES = {"ball_in_cup": "cup"}
"""dm_control's domain name → the name that papers use."""


def task_ids() -> list[str]:
    """All tasks of the dm_control suite as ``domain-task``, sorted."""
    return sorted(_table())


def resolve(task: str) -> tuple[str, str]:
    """The dm_control ``(domain, task)`` of an id; ``ball_in_cup-catch`` is accepted too.

    Raises:
        ForesightError: no such task; the message names the closest ones.
    """
    found = _table().get(canonical(task))
    if found is None:
        close = difflib.get_close_matches(str(task), task_ids(), n=3, cutoff=0.4)
        raise ForesightError(
            f"Unknown task {task!r}: expected a dm_control id such as "
            f"{', '.join(close or SOURCE_TASKS[:3])}."
        )
    return found


def canonical(task: str) -> str:
    """The one spelling of a task id that results and files use."""
    domain, separator, rest = str(task).partition("-")
    return ALIASES.get(domain, domain) + separator + rest


@cache
def _table() -> dict[str, tuple[str, str]]:
    require("dm_control", "Every task of dm_control")
    from dm_control import suite

    return {
        canonical(f"{domain}-{task}"): (str(domain), str(task)) for domain, task in suite.ALL_TASKS
    }
