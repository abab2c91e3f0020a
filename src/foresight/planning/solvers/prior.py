"""Action priors: proposals that come from somewhere else than the search."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.rollout import Dynamics, each_member, is_ensemble


class PolicyPrior:
    """A policy rolled out in imagination, with noise on its actions.

    The first sample has no noise. With an ensemble the policy sees the mean of the members.

    Args:
        policy: ``z [N, Z] -> a [N, A]``.
        low, high: action bounds ``[A]``.
        noise: standard deviation in units of half the action range.

    Raises:
        ForesightError: negative noise.
    """

    def __init__(
        self,
        policy: Callable[[Tensor], Tensor],
        low: Float[Tensor, " A"],
        high: Float[Tensor, " A"],
        noise: float = 0.2,
    ) -> None:
        if noise < 0:
            raise ForesightError(f"An action prior got noise of {noise}: choose at least 0.")
        self.policy = policy
        self.low = low
        self.high = high
        self.noise = noise

    def sample(
        self,
        z0: Float[Tensor, "B Z"],
        count: int,
        horizon: int,
        dynamics: Dynamics,
        generator: torch.Generator,
    ) -> Float[Tensor, "B count H A"]:
        """``count`` rollouts of each scene."""
        state = each_member(dynamics, z0.repeat_interleave(count, 0))
        shape = (len(z0), count, horizon, len(self.low))
        noise = torch.randn(shape, generator=generator, device=generator.device)
        noise[:, 0] = 0
        noise = (noise * (self.noise * (self.high - self.low) / 2)).flatten(0, 1)
        actions = []
        for t in range(horizon):
            mean = self.policy(state.mean(0) if is_ensemble(dynamics) else state).to(self.low.dtype)
            actions.append((mean + noise[:, t]).clamp(self.low, self.high))
            if t + 1 < horizon:
                state = dynamics.step(state, actions[-1])
        return torch.stack(actions, dim=1).view(shape)
