"""Episodes that begin as another one does, or aim at another goal; all else is the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.interface import MAX_SEED

Kind = Literal["faithful", "start-shifted", "goal-shifted"]
DONOR = 5_000
"""What is borrowed from another episode comes from the one of the seed plus this."""
GOALS = {"reacher": "target", "point_mass": "target"}
"""Domain → the geom that is its goal."""
REACH = 0.2
"""Half the width of the square in which point_mass's target is put; its arena reaches to 0.3."""


@dataclass(frozen=True)
class Shift:
    """How an episode of a seed begins.

    ``faithful`` is the seed's own episode. ``start-shifted`` keeps its goal and takes positions and
    velocities from another seed's first state. ``goal-shifted`` keeps its first state and moves
    the goal: reacher's target to that of another seed, point_mass's to a drawn place.

    Use one environment for one kind: a moved goal stays in its model.
    """

    kind: Kind = "faithful"

    def __call__(self, env: Any, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin the episode and give its first observation and info.

        Raises:
            ForesightError: the goal of this task cannot be moved.
        """
        observation, info = env.reset(seed=seed)
        inner: DMControlEnv = env.unwrapped
        if self.kind == "faithful":
            return observation, info
        if self.kind == "start-shifted":
            state = env.reset(seed=_donor(seed))[1]["state"]
            env.reset(seed=seed)
        else:
            state, place = info["state"], self._goal(inner, seed)
            env.reset(seed=seed)
            inner.physics.named.model.geom_pos[goal_of(inner.task_id), ["x", "y"]] = place
        return inner.set_state(state), {**info, "state": inner.get_state()}

    def _goal(self, env: DMControlEnv, seed: int) -> np.ndarray:
        geom = goal_of(env.task_id)
        if env.task_id.startswith("point_mass"):  # its own target never moves
            return np.random.default_rng(_donor(seed)).uniform(-REACH, REACH, 2)
        env.reset(seed=_donor(seed))
        return env.physics.named.model.geom_pos[geom, ["x", "y"]].copy()


def movable_goal(task: str) -> bool:
    """Whether a task has a goal that `Shift` can move."""
    return task.partition("-")[0] in GOALS


def goal_of(task: str) -> str:
    """The geom that marks a task's goal.

    Raises:
        ForesightError: there is none that can be moved.
    """
    domain = task.partition("-")[0]
    if domain not in GOALS:
        raise ForesightError(
            f"The goal of {task} cannot be moved: only those of {', '.join(sorted(GOALS))} can."
        )
    return GOALS[domain]


def _donor(seed: int) -> int:
    return (seed + DONOR) % (MAX_SEED + 1)
