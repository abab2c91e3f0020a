"""A LeWorldModel's search in the exact physics: what a perfect model would be worth."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.planar.world import World
from foresight.experts.planar import planar_inside
from foresight.planning.lewm import BlockDynamics, BlockPlanner, LeWMPlan

EVERY = 5
"""Actions of a block, as a LeWorldModel has them by default."""


class ExactDynamics(BlockDynamics):
    """The task's own physics; an embedding is the place of what has to be moved.

    Args:
        world: the task, copied when a future is imagined.
    """

    def __init__(self, world: World) -> None:
        super().__init__(EVERY, actions=2)
        self.world = world

    def imagine(
        self, z0: Float[Tensor, "1 2"], actions: Float[Tensor, "1 S H 2"]
    ) -> Float[Tensor, "1 1 S H1 2"]:
        """Places now and after every block, from where the world is."""
        copy, start = deepcopy(self.world), self.world.numbers.copy()
        futures = []
        for candidate in actions[0].double().numpy():
            copy.numbers[:] = start
            places = [copy.moved.copy()]
            for step, action in enumerate(candidate, 1):
                copy.advance(action)
                if step % EVERY == 0:
                    places.append(copy.moved.copy())
            futures.append(np.stack(places))
        return torch.from_numpy(np.stack(futures)).float()[None, None]


class ExactSearch(Policy):
    """Plans in the simulator; whoever runs it calls ``attach`` before ``reset``.

    Args:
        plan: how to search.
    """

    def __init__(self, plan: LeWMPlan) -> None:
        self.plan = plan
        self._planner: BlockPlanner | None = None
        self._world: World | None = None
        self._queue = torch.zeros(0, 2)

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no planar task inside.
        """
        self._world = planar_inside(env).world
        self._planner = BlockPlanner(ExactDynamics(self._world), self.plan)

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode without a plan."""
        self._attached[0].reset(seed)
        self._queue = torch.zeros(0, 2)

    def act(self, observation: Observation) -> Action:
        """The next action of the plan, float32 ``[2]``."""
        planner, world = self._attached
        if not len(self._queue):
            now, goal = (
                torch.from_numpy(np.array(place)).float() for place in (world.moved, world.goal)
            )
            told = planner.plan(now[None], torch.zeros(0, 2 * EVERY), goal)
            self._queue = told[: self.plan.carried_out * EVERY]
        action, self._queue = self._queue[0], self._queue[1:]
        taken: Action = action.numpy()
        return taken

    @property
    def _attached(self) -> tuple[BlockPlanner, World]:
        if self._planner is None or self._world is None:
            raise ForesightError("A search looks into a simulator: call attach(env) first.")
        return self._planner, self._world


@dataclass(frozen=True)
class ExactFactory:
    """Makes the search; picklable."""

    plan: LeWMPlan

    def __call__(self, spec: Spec) -> ExactSearch:
        """A search that still has to be attached."""
        return ExactSearch(self.plan)
