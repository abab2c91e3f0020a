"""The closed-loop planning agent: encode, imagine, take the first action, repeat."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.agents.sight import Sight
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import Plan, Solver, shift


class PlanningAgent:
    """Model-predictive control in latent space.

    Args:
        sight: turns frames into latent states.
        solver: searches over imagined actions within the action bounds.
        objective: makes the objective of an episode from its seed; a goal may depend on it.
        warm_start: start each search from the last plan, shifted by a step.
    """

    def __init__(
        self,
        sight: Sight,
        solver: Solver,
        objective: Callable[[int], Objective],
        warm_start: bool = True,
    ) -> None:
        self.sight = sight
        self.solver = solver
        self.make_objective = objective
        self.warm_start = warm_start
        self.objective: Objective | None = None
        self.plan: Plan | None = None
        self.latents: list[Float[Tensor, "Z"]] = []

    def seed(self, seed: int) -> None:
        """Begin the episode of this seed: its objective, and the solver's random stream."""
        self.solver.seed(seed)
        self.objective = self.make_objective(seed)

    def reset(self, observation: dict[str, Any]) -> None:
        """Forget the last episode; the first frame is seen by the first ``act``."""
        self.sight.reset()
        self.plan = None
        self.latents = []

    @torch.inference_mode()
    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The next action `[A]` float32, within the bounds.

        ``plan`` keeps the whole plan with its trace, ``latents`` every state seen so far.
        """
        if self.objective is None:
            self.seed(0)
        assert self.objective is not None
        z = self.sight.see(observation["pixels"])
        self.latents.append(z[0])
        start = shift(self.plan.actions) if self.warm_start and self.plan is not None else None
        self.plan = self.solver.plan(z, self.objective, start)
        return self.plan.actions[0, 0].float().numpy()

    def notes(self) -> dict[str, float]:
        """Latent distances to the goal over the episode, for the episode's row."""
        terms = self.objective.terms if self.objective is not None else ()
        goals = [term.goal for term in terms if isinstance(term, GoalDistance)]
        if not goals or not self.latents:
            return {}
        distance = torch.linalg.vector_norm(torch.stack(self.latents) - goals[0], dim=-1)
        return {
            "latent_initial": float(distance[0]),
            "latent_final": float(distance[-1]),
            "latent_min": float(distance.min()),
        }
