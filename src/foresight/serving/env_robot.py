"""An environment in the place of a robot, for the fixed-rate loop."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float32

from foresight.core.observation import Observation
from foresight.envs.interface import spec_of, task_of


class EnvRobot:
    """Each action that is sent is one step; an episode that ends is followed by the next one.

    Attributes:
        returns: of the finished episodes.
        successes: of those whose environment says so, whether they succeeded.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], seed: int = 0) -> None:
        """Begin the first episode.

        Args:
            env: with Foresight's observations (`foresight.make`, `foresight.wrap`).
            seed: of the first episode; the others follow.
        """
        self._env, self._seed = env, seed
        self._fps = spec_of(env).fps
        self.returns: list[float] = []
        self.successes: list[bool] = []
        self._begin()

    def read(self) -> Observation:
        """What the last step left."""
        return Observation.of(self._raw, self._task, self._steps / self._fps, self._info)

    def send(self, action: Float32[np.ndarray, " A"]) -> None:
        """One step."""
        self._raw, reward, terminated, truncated, info = self._env.step(action)
        self._info = info
        self._steps += 1
        self._return += float(reward)
        if terminated or truncated:
            self.returns.append(self._return)
            if "success" in info:
                self.successes.append(bool(info["success"]))
            self._seed += 1
            self._begin()

    def _begin(self) -> None:
        self._raw, self._info = self._env.reset(seed=self._seed)
        self._task = task_of(self._env) or None
        self._steps, self._return = 0, 0.0
