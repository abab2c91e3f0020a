"""Random shooting: draw once, the best sequence wins."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.objective import Objective
from foresight.planning.solvers.contracts import Plan
from foresight.planning.solvers.ranking import best_of, summed_up
from foresight.planning.solvers.search import Search, refuse_non_finite


class RandomShooting(Search):
    """Uniform random action sequences, the best one wins."""

    @torch.inference_mode()
    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Search once; a warm start competes as one candidate."""
        start = self._start(z0, warm_start)
        shape = (len(z0), self.samples, *start.shape[1:])
        uniform = torch.rand(shape, generator=self.generator, device=self.low.device)
        candidates = self.low + (self.high - self.low) * uniform
        proposed = self._proposed(z0)
        if proposed.shape[1]:
            candidates[:, -proposed.shape[1] :] = proposed
        if warm_start is not None:
            candidates[:, 0] = start.clamp(self.low, self.high)
        cost = self._judge(z0, objective, candidates)
        refuse_non_finite(cost)
        top = best_of(self.kept, candidates, cost)
        elites = self.held(top.actions)
        seen = summed_up(cost, top.costs, candidates)
        return Plan(elites[:, 0], top.costs[:, 0], [seen], elites, top.costs)
