"""Candidates with their costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


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
