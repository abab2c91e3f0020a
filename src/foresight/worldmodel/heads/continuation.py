"""Whether an episode goes on, so that nothing is counted on after its end."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.mlp import MLP

GOES_ON = 4.0
"""Logit of a fresh head: episodes go on (98 %) until it has seen one end."""


class ContinuationHead(nn.Module):
    """``p(the episode goes on | z, a)``: whether action a in state z is not the last one.

    An episode that merely runs out of time goes on; one that terminates does not. Binary
    cross-entropy, as in DreamerV3 (Hafner et al. 2023) and TD-MPC2.

    Args:
        latent: Z.
        actions: A.
        hidden: width.
    """

    def __init__(self, latent: int, actions: int, hidden: int) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        self.net = MLP(nn.Linear(latent + actions, hidden), nn.LayerNorm(hidden), nn.SiLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, GOES_ON)

    def forward(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch"]:
        """Logits, in the dtype of ``z``."""
        dtype = next(self.net.parameters()).dtype
        return self.net(z.to(dtype), action.to(z.dtype).to(dtype)).squeeze(-1).to(z.dtype)

    def probability(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch"]:
        """Chance that the episode goes on after ``action``."""
        return self(z, action).float().sigmoid()

    def errors(
        self,
        z: Float[Tensor, "*batch Z"],
        action: Float[Tensor, "*batch A"],
        terminated: Bool[Tensor, "*batch"] | Float[Tensor, "*batch"],
    ) -> Float[Tensor, "*batch"]:
        """Cross-entropy of each decision.

        Args:
            z: states.
            action: what was done in them.
            terminated: whether that ended the episode for good.
        """
        goes_on = 1 - terminated.float()
        return functional.binary_cross_entropy_with_logits(
            self(z, action).float(), goes_on, reduction="none"
        )
