"""What a plan is judged by: it goes where the demonstration goes, and is not far-fetched."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.policies.taught.heads import TaughtHeads


class FollowStates:
    """Distance of imagined states to those of a demonstration, step by step.

    ``J = Σ_h g^(H-h) |s(z_h) - s*_h| / Σ_h g^(H-h) + w d(z_H, z*_H)``, averaged over the members:
    s is the space of comparison, its distance a root mean square, and d the learned distance in
    time, in units of its longest.

    Args:
        heads: space and distance.
        goals: z* of the H imagined decisions, ``[H, Z]``.
        reach: w.
        early: g, how much an earlier step counts beside the next one.
    """

    def __init__(
        self, heads: TaughtHeads, goals: Float[Tensor, "H Z"], reach: float, early: float
    ) -> None:
        self.heads, self.reach = heads, reach
        self.places = heads.space(goals)
        self.last = heads.standard(goals[-1])
        count = torch.arange(len(goals) - 1, -1, -1, dtype=torch.float32, device=goals.device)
        powers = early**count
        self.weights = powers / powers.sum()

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "B S"]:
        """The cost of each candidate."""
        distance = self.heads.space.distance(imagined[..., 1:, :], self.places)
        cost = (distance * self.weights).sum(-1)
        if self.reach:
            final = self.heads.standard(imagined[..., -1, :])
            cost = cost + self.reach * self.heads.reach(final, self.last)
        return cost.mean(0)
