"""Time between seeing, deciding and doing.

A fixed observation lag of k equals an action delay of k but for the start, when nothing older than
the first observation can be seen and nothing was decided yet. A model of what actions do has to
learn from *executed* actions, never from those that were asked for: ``info["executed_action"]``.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import gymnasium
import numpy as np

from foresight.envs import interface
from foresight.envs.interface import SpecWrapper, whole_number

SALT = 23
"""Keeps the delays' random numbers apart from an environment's own."""


class Delay(SpecWrapper):
    """Executes actions later than they were chosen, and shows observations later than they were.

    A message takes its fixed delay and, with jitter, up to that many decisions more. What arrives
    counts at once, unless something newer has arrived before it; when nothing new arrives, the last
    action is held and the last observation shown again. Until the first action arrives, the idle
    one (zero, or the bound next to it) is executed. Rewards, ends of episodes and
    ``info`` are those of the present moment. ``info`` gains ``executed_action`` (float32 ``[A]``,
    what the environment has just done) and ``observation_age`` (decisions by which the observation
    is old).

    Args:
        env: the environment.
        action_delay: decisions from an action's choice to its execution.
        observation_lag: decisions by which observations are old.
        jitter: most decisions by which both are longer at times.

    Raises:
        ForesightError: a number that is none.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        action_delay: int = 0,
        observation_lag: int = 0,
        jitter: int = 0,
    ) -> None:
        super().__init__(env, interface.spec_of(env))
        self.action_delay = whole_number("action delay", action_delay, 0)
        self.observation_lag = whole_number("observation lag", observation_lag, 0)
        self.jitter = whole_number("jitter", jitter, 0)
        self._random = np.random.default_rng(SALT)
        self._now = 0
        self._begin(None)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode: its first observation is shown at once."""
        observation, info = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._random = np.random.default_rng([seed, SALT])
        self._begin(observation)
        return observation, {**info, "observation_age": 0}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Choose an action; an earlier one is executed.

        Raises:
            ForesightError: an action of another shape, or one that is not finite.
        """
        name = interface.name_of(self.env)
        chosen = interface.checked_action(action, self.interface, name).astype(np.float32)
        executed = self._actions.pass_on(chosen, self._now, self.action_delay + self._late())
        seen, reward, terminated, truncated, info = self.env.step(executed)
        self._now += 1
        lag = self.observation_lag + self._late()
        shown = self._observations.pass_on(seen, self._now, lag)
        told = {
            "executed_action": executed.copy(),
            **info,
            "observation_age": self._now - self._observations.sent,
        }
        return shown, float(reward), terminated, truncated, told

    def _begin(self, observation: Any) -> None:
        self._now = 0
        self._actions = _Line(interface.idle_action(self.interface), -1)
        self._observations = _Line(observation, 0)

    def _late(self) -> int:
        return int(self._random.integers(self.jitter + 1)) if self.jitter else 0


class _Line:
    """Messages on their way, and the newest that has arrived."""

    def __init__(self, first: Any, sent: int) -> None:
        self._held = first
        self.sent = sent
        """When the message that is held was sent."""
        self._moving: deque[tuple[int, int, Any]] = deque()

    def pass_on(self, message: Any, now: int, delay: int) -> Any:
        """Send a message now, and give the newest of those that have arrived by now."""
        self._moving.append((now, now + delay, message))
        arrived = [entry for entry in self._moving if entry[1] <= now]
        if arrived:
            self.sent, _, self._held = arrived[-1]
            # What was sent before the newest one is of no use any more.
            self._moving = deque(entry for entry in self._moving if entry[0] > self.sent)
        return self._held
