"""What values are to become: rewards of a window, and values of the states that it comes to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.training.replay import Windows


def traced(
    windows: Windows, ahead: Float[Tensor, "E B H"], discount: float, traces: float = 0.0
) -> Float[Tensor, "E B H"]:
    """λ-returns within windows, ``G_t = r_t + γ (1 - ended_t) ((1 - λ) V_t+1 + λ G_t+1)``.

    Beyond the last decision of a window, or of an episode that merely ran out of time, stands the
    value. Source: Sutton & Barto (2018), section 12.8; λ = 0 is the one-decision target.

    Args:
        windows: rewards and ends.
        ahead: values of the states after each decision.
        discount: γ.
        traces: λ.
    """
    found = windows.rewards + discount * ~windows.ended * ahead
    if not traces:
        return found
    further = found[..., -1]
    steps = [further]
    for t in range(found.shape[-1] - 2, -1, -1):
        known = windows.acted[..., t + 1] & windows.followed[..., t + 1] | windows.ended[..., t + 1]
        mixed = (1 - traces) * ahead[..., t] + traces * further
        after = torch.where(known, mixed, ahead[..., t])
        further = windows.rewards[..., t] + discount * ~windows.ended[..., t] * after
        steps.append(further)
    return torch.stack(steps[::-1], dim=-1)
