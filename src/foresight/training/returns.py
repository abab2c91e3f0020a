"""Returns of imagined steps, and what they are divided by (DreamerV3; Hafner et al. 2023)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PERCENTILES = (0.05, 0.95)


def lambda_returns(
    rewards: Float[Tensor, "H N"],
    goes_on: Float[Tensor, "H N"],
    values: Float[Tensor, "H1 N"],
    discount: float,
    mixture: float | Float[Tensor, "H N"],
) -> Float[Tensor, "H N"]:
    """``R_t = r_t + γ c_t ((1 - λ) V_{t+1} + λ R_{t+1})``, and ``R_H = V_H``.

    Args:
        rewards: r.
        goes_on: c, chance that anything comes after step t.
        values: V of all states, the last one included.
        discount: γ.
        mixture: λ, of all steps or of each.
    """
    following, found = values[-1], []
    for step in range(len(rewards) - 1, -1, -1):
        share = mixture[step] if isinstance(mixture, Tensor) else mixture
        mixed = torch.lerp(values[step + 1], following, share)
        following = rewards[step] + discount * goes_on[step] * mixed
        found.append(following)
    return torch.stack(found[::-1])


class Spread:
    """A running distance between the 5th and the 95th percentile of returns (DreamerV3).

    Args:
        memory: of the mean over updates.
        least: returns that differ by less are not magnified.

    Attributes:
        value: NaN before anything was seen.
    """

    def __init__(self, memory: float, least: float) -> None:
        self.memory, self.least = memory, least
        self.value = torch.tensor(torch.nan)

    def __call__(self, returns: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        """Take in the returns of an update; what to divide by."""
        low, high = (torch.quantile(returns, share) for share in PERCENTILES)
        before = torch.where(self.value.isnan(), high - low, self.value.to(low))
        self.value = torch.lerp(high - low, before, self.memory)
        return self.value.clamp(min=self.least)
