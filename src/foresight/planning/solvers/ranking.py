"""Candidates with their costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.solvers.contracts import Iteration


@dataclass
class Ranked:
    """Candidates of B scenes with their costs, best first."""

    actions: Float[Tensor, "B K D A"]
    costs: Float[Tensor, "B K"]

    def first(self, count: int) -> Ranked:
        """The best ``count``."""
        return Ranked(self.actions[:, :count], self.costs[:, :count])


def best_of(
    count: int, actions: Float[Tensor, "B S D A"], costs: Float[Tensor, "B S"], *more: Ranked
) -> Ranked:
    """The best ``count`` of candidates and of others that were judged before, or all if fewer."""
    if more:
        actions = torch.cat([actions, *(other.actions for other in more)], dim=1)
        costs = torch.cat([costs, *(other.costs for other in more)], dim=1)
    values, index = costs.topk(min(count, costs.shape[1]), largest=False)
    return Ranked(actions[torch.arange(len(actions), device=index.device)[:, None], index], values)


def summed_up(
    costs: Float[Tensor, "B S"], kept: Float[Tensor, "B K"], decisions: Float[Tensor, "B S D A"]
) -> Iteration:
    """What a search saw whose distribution is its candidates themselves.

    Args:
        costs: of all candidates.
        kept: of those that go on.
        decisions: the candidates.
    """
    deviation = decisions.std(1, correction=0)
    return Iteration(
        best=costs.amin(-1),
        elite=kept.mean(-1),
        spread=deviation.mean((-2, -1)),
        costs=costs,
        mean=decisions.mean(1),
        deviation=deviation,
    )
