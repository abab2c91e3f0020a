"""What values are to become: rewards of a window, and values of the states that it comes to."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.training.replay import Windows
from foresight.training.returns import lambda_returns


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
    if not traces:
        return windows.rewards + discount * ~windows.ended * ahead
    known = windows.acted & windows.followed | windows.ended
    mixture = torch.zeros_like(ahead)
    mixture[..., :-1] = traces * known[..., 1:]
    values = torch.cat([ahead[..., :1], ahead], -1)  # the first state's own is not asked for
    steps = (
        windows.rewards.movedim(-1, 0),
        (~windows.ended).to(ahead.dtype).movedim(-1, 0),
        values.movedim(-1, 0),
    )
    return lambda_returns(*steps, discount, mixture.movedim(-1, 0)).movedim(0, -1)
