"""The closed-loop planning agent: encode, imagine, take the first action, repeat."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.agents.sight import Sight
from foresight.planning.objective import Objective
from foresight.planning.solvers import Plan, Solver, shift


class PlanningAgent:
    """Model-predictive control in latent space.

    Args:
        sight: turns frames into latent states.
        solver: searches over imagined actions within the action bounds.
        objective: what a plan is judged by.
        warm_start: start each search from the last plan, shifted by a step.
    """

    def __init__(
        self, sight: Sight, solver: Solver, objective: Objective, warm_start: bool = True
    ) -> None:
        self.sight = sight
        self.solver = solver
        self.objective = objective
        self.warm_start = warm_start
        self.plan: Plan | None = None
        self.latents: list[Float[Tensor, "Z"]] = []

    def reset(self, observation: dict[str, Any]) -> None:
        """Start an episode; the first frame is seen by the first ``act``."""
        self.sight.reset()
        self.plan = None
        self.latents = []

    @torch.inference_mode()
    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The next action `[A]` float32, within the bounds.

        ``plan`` keeps the whole plan with its trace, ``latents`` every state seen so far.
        """
        z = self.sight.see(observation["pixels"])
        self.latents.append(z[0])
        start = shift(self.plan.actions) if self.warm_start and self.plan is not None else None
        self.plan = self.solver.plan(z, self.objective, start)
        return self.plan.actions[0, 0].float().numpy()
