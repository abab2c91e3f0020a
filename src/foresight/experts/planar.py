"""Scripted policies of the planar tasks: through the door, behind the puck."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.planar import push, tworoom
from foresight.envs.planar.environment import PlanarEnv
from foresight.envs.planar.push import PuckTable
from foresight.envs.planar.tworoom import TwoRooms
from foresight.envs.planar.world import Place

ROUND = 0.04
"""Sides of the square by which the finger goes around the puck."""
ALIGNED = 0.03
"""Distance from the place behind the puck from which it is pushed."""
ARRIVED = 0.03
"""Distance within which a wanderer takes its next goal."""


def planar_inside(env: Any) -> PlanarEnv:
    """The planar task in an environment; wrappers around it do not matter.

    Raises:
        ForesightError: there is none.
    """
    inner = env.unwrapped
    if not isinstance(inner, PlanarEnv):
        raise ForesightError(
            f"{type(inner).__name__} is no planar task, and this expert knows no others: use "
            "zero, random, ar1:0.9 or a policy of your own."
        )
    return inner


class PlanarExpert(Policy):
    """Goes the way that the true state shows; whoever runs it calls ``attach`` before ``reset``.

    Args:
        spec: of the robot.
        wander: having arrived, go on to other places, drawn from the seed: recordings of whole
            episodes then show all of the world.
    """

    def __init__(self, spec: Spec, wander: bool = False) -> None:
        self.spec, self.wander = spec, wander
        self._env: PlanarEnv | None = None
        self._random = np.random.default_rng(0)
        self._goal: Place | None = None

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no planar task inside.
        """
        self._env = planar_inside(env)

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin with the episode's own goal."""
        self._random = np.random.default_rng([seed, 1])
        self._goal = None

    def act(self, observation: Observation) -> Action:
        """Straight to the next place on the way, float32 ``[2]``."""
        if self._env is None:
            raise ForesightError("An expert looks into a simulator: call attach(env) first.")
        world = self._env.world
        if isinstance(world, TwoRooms):
            goal = self._next(world.agent, world.goal, lambda: world.free_place(self._random))
            way = way_through(world, goal) - world.agent
            speed = tworoom.SPEED
        else:
            assert isinstance(world, PuckTable)
            inside = (push.MARGIN, 1 - push.MARGIN)
            goal = self._next(world.puck, world.goal, lambda: self._random.uniform(*inside, 2))
            way = way_behind(world, goal) - world.agent
            speed = push.SPEED
        return np.clip(way / max(speed, float(np.abs(way).max())), -1, 1).astype(np.float32)

    def _next(self, now: Place, given: Place, draw: Any) -> Place:
        """The place to go to: the episode's, or for one who wanders and has arrived another."""
        goal = given if self._goal is None else self._goal
        if self.wander and float(np.hypot(*(now - goal))) < ARRIVED:
            goal = self._goal = draw()
        return goal


def way_through(world: TwoRooms, goal: Place) -> Float64[np.ndarray, "2"]:
    """The next place on the way to a goal: the door's near side, its far side, or the goal."""
    side = np.sign(world.agent[0] - tworoom.MIDDLE) or 1.0
    in_wall = tworoom.WALL + tworoom.RADIUS
    if (goal[0] - tworoom.MIDDLE) * side > 0 and abs(world.agent[0] - tworoom.MIDDLE) > in_wall:
        return goal
    through = abs(world.agent[1] - world.door) < tworoom.DOOR - tworoom.RADIUS
    if abs(world.agent[0] - tworoom.MIDDLE) <= in_wall:  # in the door: out towards the goal
        out = np.sign(goal[0] - tworoom.MIDDLE) * (in_wall + tworoom.SPEED)
        return np.array([tworoom.MIDDLE + out, world.door])
    if through:
        return np.array([tworoom.MIDDLE - side * (in_wall + tworoom.SPEED), world.door])
    return np.array([tworoom.MIDDLE + side * (in_wall + 0.01), world.door])


def way_behind(world: PuckTable, goal: Place) -> Float64[np.ndarray, "2"]:
    """The next place of the finger: around the puck, behind it, or into it."""
    way = goal - world.puck
    length = float(np.hypot(*way))
    along = way / length if length > 1e-9 else np.array([1.0, 0.0])
    touching = push.FINGER + push.PUCK
    behind = world.puck - along * (touching + 0.005)
    offset = world.agent - world.puck
    beside = offset - along * float(offset @ along)
    far = float(offset @ along)
    if far < 0 and float(np.hypot(*beside)) < ALIGNED:
        return goal - along * touching  # push it there and no farther
    if far < -0.5 * touching:
        return behind
    # Around: along the circle that clears the puck, on the side where the finger is.
    sideways = beside / max(float(np.hypot(*beside)), 1e-9)
    if not sideways.any():
        sideways = np.array([-along[1], along[0]])
    clear = touching + ROUND
    if float(np.hypot(*beside)) < touching + 0.5 * ROUND:
        return world.puck + sideways * (clear + ROUND) + along * far
    return world.puck + sideways * clear - along * clear
