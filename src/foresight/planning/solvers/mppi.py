"""Model-predictive path integral control."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import Iteration, Plan
from foresight.planning.solvers.ranking import Ranked, best_of


class MPPI(CEM):
    """MPPI (Williams et al. 2017, arXiv 1707.02342), iterated, with elites as in TD-MPC.

    Each iteration moves the distribution to the best candidates (TD-MPC, arXiv 2203.04955) weighted
    by their cost ``J``: ``w_i ∝ exp(-(J_i - min J) / temperature)``, ``mean = Σ w_i a_i`` and
    ``deviation² = Σ w_i (a_i - mean)²``. The answer is the mean, which gains little from errors of
    the model.
    """

    def _prepare(self) -> None:
        super()._prepare()
        if not self.config.temperature > 0:
            raise ForesightError(
                f"MPPI got a temperature of {self.config.temperature}: choose one above 0, in "
                "units of cost."
            )

    def _refit(
        self, ranked: Ranked, mean: Float[Tensor, "B D A"], deviation: Float[Tensor, "B D A"]
    ) -> tuple[Float[Tensor, "B D A"], Float[Tensor, "B D A"]]:
        weight = torch.softmax(-ranked.costs / self.config.temperature, dim=-1)[..., None, None]
        new_mean = (weight * ranked.actions).sum(1)
        variance = (weight * (ranked.actions - new_mean[:, None]).square()).sum(1)
        return new_mean, variance.sqrt().clamp(min=self.minimal)

    def _answer(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        mean: Float[Tensor, "B D A"],
        ranked: Ranked,
        top: Ranked,
        trace: list[Iteration],
    ) -> Plan:
        plan = super()._answer(z0, objective, mean, ranked, top, trace)
        if not self.config.judged:
            plan.actions = self.held(mean)
            return plan
        # The mean of good futures need not be finite itself.
        cost = self._judge(z0, objective, mean[:, None])
        fine = cost[:, 0].isfinite()
        plan.actions = torch.where(fine[:, None, None], self.held(mean), plan.actions)
        plan.cost = torch.where(fine, cost[:, 0], plan.cost)
        best = best_of(top.costs.shape[1], mean[:, None], cost, top)
        plan.elites, plan.elite_costs = self.held(best.actions), best.costs
        return plan
