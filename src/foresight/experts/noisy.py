"""An expert that is disturbed, so that it is seen how to recover."""

from __future__ import annotations

from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.simulator import Privileged
from foresight.core.spec import Spec
from foresight.policies.registry import make_policy
from foresight.policies.scripted import AR1Noise, generator, numbers_of

LONGEST_DROPOUT = 40
"""Longest time without the expert, in decisions."""


class NoisyExpert(Policy):
    """Does what an expert says, disturbed by lasting noise.

    A third of the episodes is undisturbed; in the others the noise has a strength of its own. With
    dropouts the noise alone decides now and then, for up to `LONGEST_DROPOUT` decisions: what was
    achieved is lost, and the expert shows again how to get there.

    Attributes:
        expert_action: what the expert said about the last observation.

    Args:
        spec: of the robot.
        expert: asked at every step.
        strength: largest one, in units of half the action range.
        dropout: mean decisions between two dropouts; 0 for none.
        memory: of the noise.
    """

    name = "noisy"

    def __init__(
        self,
        spec: Spec,
        expert: Policy,
        strength: float = 0.6,
        dropout: int = 0,
        memory: float = 0.8,
    ) -> None:
        self.spec, self.expert = spec, expert
        self.most, self.dropout = strength, dropout
        self.noise = AR1Noise(spec, memory, "clip", "noisy-expert")
        self.expert_action: Action = np.zeros(len(spec.action), np.float32)
        self._generator = np.random.default_rng(0)
        self._strength, self._left = 0.0, 0

    def attach(self, env: Any) -> None:
        """Let the expert look into a simulator."""
        if isinstance(self.expert, Privileged):
            self.expert.attach(env)

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode with a strength of its own."""
        self._generator = generator(self.name, seed)
        self._strength = max(0.0, 1.5 * self._generator.random() - 0.5) * self.most
        self._left = 0
        self.noise.reset(observation, seed)
        self.expert.reset(observation, seed)

    def act(self, observation: Observation) -> Action:
        """The expert's action with noise, or noise alone."""
        self.expert_action = self.expert.act(observation)
        noise, half = self.noise.unit(observation), (self.spec.high - self.spec.low) / 2
        if self._drops_out():
            return (self.spec.low + half * (noise + 1)).astype(np.float32)
        action = self.expert_action + self._strength * noise * half
        return np.clip(action, self.spec.low, self.spec.high).astype(np.float32)

    def close(self) -> None:
        """Close the expert."""
        self.expert.close()

    def _drops_out(self) -> bool:
        if not self.dropout:
            return False
        chance = self._generator.random()
        length = int(self._generator.integers(1, LONGEST_DROPOUT + 1))
        begins = self._left == 0 and chance < 1 / self.dropout
        self._left = length if begins else max(0, self._left - 1)
        return self._left > 0


def noisy_expert(name: str, spec: Spec, env_id: str | None) -> NoisyExpert:
    """``noisy:0.6:expert`` or, with dropouts every 120 decisions, ``noisy:0.6,120:expert``.

    Raises:
        ForesightError: it is written otherwise, or there is no such expert.
    """
    numbers, _, expert = name.partition(":")[2].partition(":")
    values = numbers_of(name, numbers)
    if not expert or len(values) > 2 or min(values) < 0:
        raise ForesightError(
            f"Policy {name!r} is not noisy:STRENGTH:EXPERT or noisy:STRENGTH,DROPOUT:EXPERT: write "
            "for example noisy:0.6:expert or noisy:0.6,120:oracle."
        )
    dropout = int(values[1]) if len(values) == 2 else 0
    return NoisyExpert(spec, make_policy(expert, spec, env_id), values[0], dropout)
