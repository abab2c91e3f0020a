"""A robot of nobody's simulator, for the study: two cameras, and a demonstrator who knows it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.policies.registry import register_policy

TOP, SIDE = (48, 64), (40, 40)
FPS, LIMIT = 10, 40
NEAR = 0.08
STRIDE = 0.12
"""Largest motion in a step, in units of half the table."""


class Pointer(gymnasium.Env):
    """A pointer over a table is to go to a cup, and to close its hand there.

    ``top`` shows the table, ``side`` how far pointer and cup are apart along one axis; the cup is
    in neither state nor ``info``. Closing the hand near the cup ends an episode with success.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (as Gymnasium's)
    task_text = "close the hand at the cup"

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = spaces.Box(-1, 1, (3,), np.float32)
        self.observation_space = spaces.Dict(
            {
                "top": spaces.Box(0, 255, (*TOP, 3), np.uint8),
                "side": spaces.Box(0, 255, (*SIDE, 3), np.uint8),
                "joints": spaces.Box(-1, 1, (3,), np.float32),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Put pointer and cup somewhere."""
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.8, 0.8, 2)
        self.cup = self.np_random.uniform(-0.8, 0.8, 2)
        self.hand, self.steps = -1.0, 0
        return self._observe(), {"success": False}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """Move by the first two numbers, close the hand by the third."""
        asked = np.clip(np.asarray(action, np.float64), -1, 1)
        self.place = np.clip(self.place + STRIDE * asked[:2], -1, 1)
        self.hand, self.steps = float(np.sign(asked[2]) or -1.0), self.steps + 1
        away = float(np.linalg.norm(self.cup - self.place))
        success = away < NEAR and self.hand > 0
        # A hand that closes elsewhere has knocked the cup over: the episode is lost.
        over = success or self.hand > 0
        return self._observe(), -away, over, not over and self.steps >= LIMIT, {"success": success}

    def render(self) -> np.ndarray:
        """The table from above."""
        return self._observe()["top"]

    def _observe(self) -> dict[str, np.ndarray]:
        top = np.full((*TOP, 3), 70, np.uint8)
        _mark(top, self.cup, 6, (220, 220, 60))
        _mark(top, self.place, 4, (200, 40, 40) if self.hand < 0 else (40, 40, 200))
        side = np.full((*SIDE, 3), 30, np.uint8)
        _mark(side, (self.cup - self.place) / 2, 6, (220, 220, 60))
        joints = np.array([*self.place, self.hand], np.float32)
        return {"top": top, "side": side, "joints": joints}


def _mark(picture: np.ndarray, place: np.ndarray, size: int, colour: tuple[int, int, int]) -> None:
    height, width = picture.shape[:2]
    row = round((1 - place[1]) / 2 * (height - size))
    column = round((1 + place[0]) / 2 * (width - size))
    picture[row : row + size, column : column + size] = colour


class Demonstrator(Policy):
    """Knows where the cup is: goes there, then closes the hand."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._env: Any = None

    def attach(self, env: Any) -> None:
        """Look into this robot from now on."""
        self._env = env.unwrapped

    def act(self, observation: Observation) -> Action:
        """Motion and hand, float32 ``[3]``."""
        away = self._env.cup - self._env.place
        closed = 1.0 if np.linalg.norm(away) < NEAR / 2 else -1.0
        return np.array([*np.clip(away / STRIDE, -1, 1), closed], np.float32)


register_policy("pointer-demonstrator", lambda name, spec, env_id: Demonstrator(spec))
