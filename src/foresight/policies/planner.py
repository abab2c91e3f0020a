"""Planning with a trained world model: encode, imagine, take the first action, repeat."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.planning.mpc import MPCPlanner
from foresight.planning.objective import GoalDistance, Term
from foresight.policies.delayed.compensator import DelayCompensator
from foresight.policies.latent import LatentObserver


class PlanningPolicy(Policy):
    """Model-predictive control in latent space.

    Args:
        observer: turns observations into latent states.
        planner: searches over imagined actions, and goes on where nothing finite is imagined.
        terms: what the plans of an episode are judged by, from its seed; a goal may depend on it.
        scaled: actions of a plan in the environment's units; as they are if not given.
        compensator: of a robot that acts late.
    """

    def __init__(
        self,
        observer: LatentObserver,
        planner: MPCPlanner,
        terms: Callable[[int], Sequence[Term]],
        scaled: Callable[[Tensor], Tensor] = lambda action: action,
        compensator: DelayCompensator | None = None,
    ) -> None:
        self.observer, self.planner, self.scaled = observer, planner, scaled
        self.compensator = compensator
        self.make_terms = terms
        self.terms: Sequence[Term] | None = None
        self.latents: list[Float[Tensor, " Z"]] = []

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin the episode of this seed: its terms, and the planner's random stream."""
        self.planner.reset(seed)
        self.terms = self.make_terms(seed)
        self.observer.reset()
        self.latents = []
        if self.compensator is not None:
            self.compensator.reset(1, seed)

    @torch.inference_mode()
    def act(self, observation: Observation) -> Action:
        """The next action `[A]` float32, within the bounds; ``latents`` keeps every state seen."""
        if self.terms is None:
            self.reset(observation, 0)
        z = self.observer.see(observation)
        self.latents.append(z[0])
        late = self.compensator
        if late is None:
            return self.scaled(self.planner.plan(z, self.terms)[0]).cpu().numpy()
        late.tell([observation])
        decision = late.excite(self.planner.plan(late.ahead(z), self.terms))
        action: Action = late.issue(self.scaled(decision).cpu().numpy())[0]
        return action

    def notes(self) -> dict[str, float]:
        """Fallbacks, and latent distances to the goal over the episode, for the episode's row."""
        fallbacks = self.planner.fallbacks
        found = {"planner_fallbacks": float(fallbacks)} if fallbacks else {}
        for told in self.compensator.notes() if self.compensator is not None else ():
            found |= told
        goals = [term.goal for term in self.terms or () if isinstance(term, GoalDistance)]
        if not goals or not self.latents:
            return found
        distance = torch.linalg.vector_norm(torch.stack(self.latents) - goals[0], dim=-1)
        return found | {
            "latent_initial": float(distance[0]),
            "latent_final": float(distance[-1]),
            "latent_min": float(distance.min()),
        }
