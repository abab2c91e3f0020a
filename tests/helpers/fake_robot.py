"""A robot of nobody's simulator: two cameras, early endings, nothing to look into.

``FakeRobot`` is a plain Gymnasium environment, as a stranger would write it. ``fake_robot`` is the
same as Foresight's rooms see it. Both can be named from any process:
``EnvConfig("fake_robot:FakeRobot")``.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

FRONT, WRIST = (32, 48), (24, 40)
FPS = 10
LIMIT = 40
LOW, HIGH = np.array([-1.0, -0.5], np.float32), np.array([1.0, 0.5], np.float32)
NEAR = 0.15
"""The goal is reached, and the episode over, at this distance."""
TASK = "drive to the green square"


class FakeRobot(gymnasium.Env):
    """A cart on a table drives to a goal that only the cameras show.

    ``joints`` is place and speed (float32 [4]); ``front`` shows the table from above, ``wrist``
    what lies around the cart. The reward is 1 minus the distance; reaching the goal terminates.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (as Gymnasium's)
    task_text = TASK

    def __init__(self, render_mode: str | None = None, limit: int = LIMIT) -> None:
        self.render_mode = render_mode
        self.limit = limit
        self.action_space = spaces.Box(LOW, HIGH, dtype=np.float32)
        self.observation_space = spaces.Dict(
            {
                "front": spaces.Box(0, 255, (*FRONT, 3), np.uint8),
                "joints": spaces.Box(-4, 4, (4,), np.float32),
                "wrist": spaces.Box(0, 255, (*WRIST, 3), np.uint8),
            }
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        self._place = self.np_random.uniform(-0.9, 0.9, 2)
        self._speed = np.zeros(2)
        angle = self.np_random.uniform(0, 2 * np.pi)
        away = 0.8 * np.array([np.cos(angle), np.sin(angle)])
        self._goal = np.clip(self._place + away, -0.9, 0.9)
        self._steps = 0
        return self._observe(), {"success": False}

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        pushed = np.clip(np.asarray(action, np.float64), LOW, HIGH)
        self._speed = 0.7 * self._speed + 0.3 * pushed
        self._place = np.clip(self._place + 0.3 * self._speed, -1, 1)
        self._steps += 1
        distance = float(np.linalg.norm(self._goal - self._place))
        terminated = distance < NEAR
        truncated = not terminated and self._steps >= self.limit
        return self._observe(), 1.0 - distance, terminated, truncated, {"success": terminated}

    def render(self) -> np.ndarray:
        return self._front()

    def towards_goal(self) -> np.ndarray:
        """What a demonstrator who sees the table would do, float32 [2]."""
        return np.clip(3 * (self._goal - self._place), LOW, HIGH).astype(np.float32)

    def _observe(self) -> dict[str, np.ndarray]:
        joints = np.concatenate([self._place, self._speed]).astype(np.float32)
        return {"front": self._front(), "joints": joints, "wrist": self._wrist()}

    def _front(self) -> np.ndarray:
        height, width = FRONT
        picture = np.full((height, width, 3), 60, np.uint8)
        picture[: height // 4] = 90  # the far side of the table is brighter: up is up
        for place, colour in ((self._goal, (40, 200, 40)), (self._place, (200, 40, 40))):
            row = round((1 - place[1]) / 2 * (height - 5))
            column = round((place[0] + 1) / 2 * (width - 5))
            picture[row : row + 5, column : column + 5] = colour
        return picture

    def _wrist(self) -> np.ndarray:
        height, width = WRIST
        picture = np.full((height, width, 3), 30, np.uint8)
        right, up = (self._goal - self._place) / 2
        row = round(height / 2 - 2 - up * height / 2)
        column = round(width / 2 - 2 + right * width / 2)
        picture[max(row, 0) : max(row + 4, 0), max(column, 0) : max(column + 4, 0)] = (40, 200, 40)
        return picture


def fake_robot(**options: Any) -> gymnasium.Env:
    """The fake robot behind Foresight's face: ``{"images": {front, wrist}, "state"}``."""
    from foresight.envs.wrap import wrap

    return wrap(FakeRobot(**options))
