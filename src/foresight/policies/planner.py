"""Planning with a trained world model: encode, imagine, take the first action, repeat."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import NonFiniteFuturesError, Plan, Solver, shift
from foresight.policies.latent import LatentObserver


class PlanningPolicy(Policy):
    """Model-predictive control in latent space.

    Where the world model imagines nothing but NaN, the policy goes on with its last good plan, or
    with the middle of the action bounds where it has none, and warns once.

    Args:
        observer: turns observations into latent states.
        solver: searches over imagined actions within the action bounds.
        objective: makes the objective of an episode from its seed; a goal may depend on it.
        warm_start: start each search from the last plan, shifted by a step.
        scaled: actions of a plan in the environment's units; as they are if not given.
    """

    def __init__(
        self,
        observer: LatentObserver,
        solver: Solver,
        objective: Callable[[int], Objective],
        warm_start: bool = True,
        scaled: Callable[[Tensor], Tensor] = lambda action: action,
    ) -> None:
        self.scaled = scaled
        self.observer = observer
        self.solver = solver
        self.make_objective = objective
        self.warm_start = warm_start
        self.objective: Objective | None = None
        self.plan: Plan | None = None
        self.fallbacks = 0
        self._ahead: Float[Tensor, "1 H A"] | None = None
        self._warned = False
        self.latents: list[Float[Tensor, " Z"]] = []

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin the episode of this seed: its objective, and the solver's random stream."""
        self.solver.seed(seed)
        self.objective = self.make_objective(seed)
        self.observer.reset()
        self.plan = None
        self.fallbacks = 0
        self._ahead = None
        self.latents = []

    @torch.inference_mode()
    def act(self, observation: Observation) -> Action:
        """The next action `[A]` float32, within the bounds.

        ``plan`` keeps the last good plan with its trace, ``latents`` every state seen so far,
        ``fallbacks`` how many actions of this episode came from an older plan.
        """
        if self.objective is None:
            self.reset(observation, 0)
        assert self.objective is not None
        z = self.observer.see(observation)
        self.latents.append(z[0])
        start = self._ahead if self.warm_start else None
        try:
            self.plan = self.solver.plan(z, self.objective, start)
            actions = self.plan.actions
        except NonFiniteFuturesError as error:
            actions = self._fallback(error)
        self._ahead = shift(actions)
        return self.scaled(actions[0, 0].float()).cpu().numpy()

    def _fallback(self, error: NonFiniteFuturesError) -> Float[Tensor, "1 H A"]:
        """What remains of the last good plan, or the middle of the bounds."""
        self.fallbacks += 1
        if not self._warned:
            self._warned = True
            taken = "its last good plan" if self._ahead is not None else "the middle of the bounds"
            warnings.warn(f"The planner goes on with {taken}: {error}", RuntimeWarning, 2)
        if self._ahead is not None:
            return self._ahead
        middle = (self.solver.low + self.solver.high) / 2
        return middle.expand(1, self.solver.horizon, -1)

    def notes(self) -> dict[str, float]:
        """Fallbacks, and latent distances to the goal over the episode, for the episode's row."""
        found = {"planner_fallbacks": float(self.fallbacks)} if self.fallbacks else {}
        terms = self.objective.terms if self.objective is not None else ()
        goals = [term.goal for term in terms if isinstance(term, GoalDistance)]
        if not goals or not self.latents:
            return found
        distance = torch.linalg.vector_norm(torch.stack(self.latents) - goals[0], dim=-1)
        return found | {
            "latent_initial": float(distance[0]),
            "latent_final": float(distance[-1]),
            "latent_min": float(distance.min()),
        }
