"""Actions that are held for a while, then replaced: what a hand on a joystick does."""

from __future__ import annotations

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.policies.registry import register_policy
from foresight.policies.scripted import AR1Noise, generator, numbers_of, uniform_action

SHORTEST, LONGEST = 1.0, 3.0
"""Seconds for which an action is held."""
REST = 0.1
"""Share of the held actions that are nothing at all."""
MEMORY = 0.5
"""Of the noise, from one decision to the next."""


class Switching(Policy):
    """Holds a random action for one to three seconds, then another one; a little noise on top.

    One in ten held actions is zero, or the bound next to it.

    Args:
        spec: of the robot.
        strength: of the noise, in units of half the action range.
    """

    def __init__(self, spec: Spec, strength: float = 0.1) -> None:
        self.spec, self.strength = spec, strength
        self._noise = AR1Noise(spec, MEMORY, "clip", "switching-noise")
        self._generator = np.random.default_rng(0)
        self._held, self._left = np.zeros(len(spec.action), np.float32), 0

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin with a fresh action."""
        self._generator = generator("switching", seed)
        self._noise.reset(observation, seed)
        self._left = 0

    def act(self, observation: Observation) -> Action:
        """The held action with noise."""
        if self._left == 0:
            self._held = uniform_action(self._generator, self.spec)
            if self._generator.random() < REST:
                self._held = np.zeros_like(self._held)
            seconds = self._generator.uniform(SHORTEST, LONGEST)
            self._left = max(1, round(seconds * self.spec.fps))
        self._left -= 1
        half = (self.spec.high - self.spec.low) / 2
        action = self._held + self.strength * self._noise.unit(observation) * half
        within: np.ndarray = np.clip(action, self.spec.low, self.spec.high)
        return within.astype(np.float32)


def _switching(name: str, spec: Spec, env_id: str | None) -> Policy:
    _, colon, number = name.partition(":")
    values = numbers_of(name, number) if colon else (0.1,)
    if len(values) != 1 or values[0] < 0:
        raise ForesightError(
            f"Policy {name!r} is not switch or switch:NOISE: write for example switch:0.1, with "
            "noise in units of half the action range."
        )
    return Switching(spec, values[0])


register_policy("switch", _switching, "switch:0.1")
