"""A closed-loop agent around a learned policy."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from torch import Tensor

from foresight.policies.sight import Sight


class LatentPolicy(Protocol):
    """A policy over latent states."""

    def reset(self) -> None:
        """Start an episode."""
        ...

    def select_action(self, z: Tensor) -> Tensor:
        """``z [B, Z] -> action [B, A]``."""
        ...


class PolicyAgent:
    """See, then let the policy choose."""

    def __init__(self, sight: Sight, policy: LatentPolicy) -> None:
        self.sight = sight
        self.policy = policy

    def reset(self, observation: dict[str, Any]) -> None:
        """Start an episode; the first frame is seen by the first ``act``."""
        self.sight.reset()
        self.policy.reset()

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The next action `[A]` float32, within the bounds."""
        z = self.sight.see(observation["images"]["camera"])
        return self.policy.select_action(z)[0].float().numpy()
