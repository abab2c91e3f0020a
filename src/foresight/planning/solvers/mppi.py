"""Model-predictive path integral control."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.cem import CEM
from foresight.planning.solvers.contracts import Dynamics, Iteration, Plan
from foresight.planning.solvers.ranking import Ranked, best_of
from foresight.planning.solvers.search import Options


class MPPI(CEM):
    """MPPI (Williams et al. 2017, arXiv 1707.02342), iterated, with elites as in TD-MPC.

    Each iteration moves the distribution to the candidates weighted by their cost ``J``:
    ``w_i ∝ exp(-(J_i - min J) / temperature)``, ``mean = Σ w_i a_i`` and
    ``deviation² = Σ w_i (a_i - mean)²``. With ``elites`` only the best candidates are weighted
    (TD-MPC, arXiv 2203.04955); without, all of them.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        low: Float[Tensor, " A"],
        high: Float[Tensor, " A"],
        horizon: int = 10,
        samples: int = 500,
        elites: int | None = 64,
        iterations: int = 5,
        seed: int = 0,
        temperature: float = 0.5,
        answer: Literal["mean", "best"] = "mean",
        initial_deviation: float = 0.5,
        minimal_deviation: float = 0.02,
        judged: bool = True,
        options: Options | None = None,
    ) -> None:
        """Deviations are in units of half the action range.

        Args:
            dynamics: single or ensemble.
            low: lowest actions ``[A]``.
            high: highest actions ``[A]``.
            horizon: imagined steps.
            samples: candidates per iteration.
            elites: how many of the best are weighted; None weighs all.
            iterations: refinements per decision.
            seed: of the random stream.
            temperature: in units of cost; a small one follows the best candidate alone.
            answer: the weighted ``mean``, which gains little from errors of the model, or the
                ``best`` candidate.
            initial_deviation: of the first samples.
            minimal_deviation: the least of later samples.
            judged: imagine the mean once more: for its cost, and to answer with the best candidate
                where the mean of good futures is not finite itself. Else that future is spared,
                and the plan has the best candidate's cost.
            options: held actions and action priors.

        Raises:
            ForesightError: the temperature is not above 0, or as `CEM`.
        """
        super().__init__(
            dynamics,
            low,
            high,
            horizon,
            samples,
            samples if elites is None else elites,
            iterations,
            seed,
            initial_deviation,
            minimal_deviation,
            options,
        )
        if not temperature > 0:
            raise ForesightError(
                f"MPPI got a temperature of {temperature}: choose one above 0, in units of cost."
            )
        self.temperature = temperature
        self.answer = answer
        self.judged = judged

    def _refit(
        self, ranked: Ranked, mean: Float[Tensor, "B D A"], deviation: Float[Tensor, "B D A"]
    ) -> tuple[Float[Tensor, "B D A"], Float[Tensor, "B D A"]]:
        weight = torch.softmax(-ranked.costs / self.temperature, dim=-1)[..., None, None]
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
        if self.answer == "best":
            return plan
        if not self.judged:
            plan.actions = self.held(mean)
            return plan
        cost = self._judge(z0, objective, mean[:, None])
        fine = cost[:, 0].isfinite()
        plan.actions = torch.where(fine[:, None, None], self.held(mean), plan.actions)
        plan.cost = torch.where(fine, cost[:, 0], plan.cost)
        best = best_of(top.costs.shape[1], mean[:, None], cost, top)
        plan.elites, plan.elite_costs = self.held(best.actions), best.costs
        return plan
