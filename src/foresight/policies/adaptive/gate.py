"""Whether a correction has been worth having: nothing is corrected until it has."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

MEMORY = 0.9
"""What a decision keeps of the weight of all earlier ones."""
MARGIN = 0.1
"""By which share of the model's squared error a correction has to be better."""


class Gate:
    """Compares, for N robots, what the model and what the correction imagined of each decision.

    A correction that was learned from noise alone makes predictions worse. Its prediction of a
    decision that it has not learned from yet says so, and then the model is left as it is.

    Args:
        gated: False lets everything through once something was learned.
    """

    def __init__(self, gated: bool) -> None:
        self.gated = gated
        self.reset(1)

    def reset(self, robots: int) -> None:
        """Closed, for N robots."""
        self.opened: Bool[Tensor, " N"] = torch.zeros(robots, dtype=torch.bool)
        self._errors = torch.zeros(2, robots)

    @property
    def any(self) -> bool:
        """Whether it is open for some robot."""
        return bool(self.opened.any())

    def judge(
        self,
        predicted: Float[Tensor, "N Z"],
        corrected: Float[Tensor, "N Z"],
        after: Float[Tensor, "N Z"],
        usable: Float[Tensor, " N"],
    ) -> None:
        """Take in a decision: what was imagined of it, without and with the correction."""
        both = torch.stack([predicted, corrected]).to(after)
        errors = (both - after).square().sum(-1).float().cpu()
        counts = usable.cpu() > 0
        self._errors = torch.where(counts, MEMORY * self._errors + errors, self._errors)
        plain, ours = self._errors
        helps = ours < (1 - MARGIN) * plain
        self.opened = helps if self.gated else self.opened | counts
