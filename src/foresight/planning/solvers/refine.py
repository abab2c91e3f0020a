"""Gradient refinement of what a sampling solver found."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Objective
from foresight.planning.solvers.contracts import Plan
from foresight.planning.solvers.imagining import imagine
from foresight.planning.solvers.ranking import best_of, summed_up
from foresight.planning.solvers.search import Search
from foresight.worldmodel.dynamics.rollout import Dynamics


class Refined:
    """A solver whose best candidates are improved by gradients through the dynamics.

    Adam on the decisions, clipped to the bounds after every step. Every step's candidates compete
    with all others, the unrefined included, so the plan never gets worse by it.

    Args:
        solver: finds the candidates; its configuration says how many are refined and how.
        dynamics: has to be differentiable with respect to states and actions; the solver's own if
            left out. Costs are compared with the solver's, so both have to predict the same.

    Raises:
        ForesightError: settings outside their range.
    """

    def __init__(self, solver: Search, dynamics: Dynamics | None = None) -> None:
        config = solver.config
        self.count, self.steps, self.rate = (
            config.refine_count,
            config.refine_steps,
            config.refine_rate,
        )
        if self.count < 1 or self.steps < 1 or self.rate <= 0:
            raise ForesightError(
                f"Gradient refinement got {self.count} candidates, {self.steps} steps and rate "
                f"{self.rate}: choose at least 1 each, and a rate above 0."
            )
        self.solver = solver
        self.dynamics = dynamics if dynamics is not None else solver.dynamics
        self.horizon, self.low, self.high = solver.horizon, solver.low, solver.high

    def seed(self, seed: int) -> None:
        """Restart the solver's random stream."""
        self.solver.seed(seed)

    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Search, then refine; each step adds an entry to the trace.

        Raises:
            NonFiniteFuturesError: no candidate of some scene has a finite cost.
            ForesightError: the dynamics or the objective gives no gradient.
        """
        plan = self.solver.plan(z0, objective, warm_start)
        # An agent may be in inference mode, whose tensors cannot be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            return self._improve(plan, z0.clone(), objective)

    def _improve(self, plan: Plan, z0: Float[Tensor, "B Z"], objective: Objective) -> Plan:
        half = (self.high - self.low) / 2
        middle = (self.high + self.low) / 2
        begin = self.solver.to_decisions(plan.elites[:, : self.count].clone())
        # In units of half the range, so that one rate fits all actions.
        unit = ((begin - middle) / half.clamp(min=1e-9)).clamp(-1, 1).requires_grad_()
        adam = torch.optim.Adam([unit], self.rate)
        trace, actions, costs = list(plan.trace), [plan.elites], [plan.elite_costs]
        for step in range(self.steps + 1):
            decisions = middle + half * unit
            held = self.solver.held(decisions)
            imagined = imagine(self.dynamics, z0, held)
            _expect_gradient(imagined)
            cost = objective.cost(imagined, held).float()
            if step:  # the first ones are the solver's own
                found = torch.where(cost.isfinite(), cost, torch.inf).detach()
                actions.append(held.detach())
                costs.append(found)
                trace.append(summed_up(found, found, decisions.detach()))
            if step < self.steps:
                unit.grad = _gradient(cost, unit)
                adam.step()
                with torch.no_grad():
                    unit.clamp_(-1, 1)
        top = best_of(plan.elites.shape[1], torch.cat(actions, 1), torch.cat(costs, 1))
        return Plan(top.actions[:, 0], top.costs[:, 0], trace, top.actions, top.costs)


def _expect_gradient(imagined: Float[Tensor, "E B K H1 Z"]) -> None:
    if not imagined.requires_grad:
        raise ForesightError(
            "The imagined futures give no gradient with respect to the actions: refine with the "
            "plain dynamics instead of one made for inference."
        )


def _gradient(cost: Float[Tensor, "B K"], unit: Float[Tensor, "B K D A"]) -> Tensor:
    # A future that is not finite must not spoil its neighbours' sum.
    total = torch.where(cost.isfinite(), cost, 0.0).sum()
    (gradient,) = torch.autograd.grad(total, unit)
    return gradient.nan_to_num(0.0, 0.0, 0.0)
