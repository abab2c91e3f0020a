"""The fake robot on a slippery floor: its episodes end early, some of them very early."""

from __future__ import annotations

from typing import Any

import numpy as np

from fake_robot import FakeRobot


class TrippingRobot(FakeRobot):
    """It falls by chance, which ends the episode for good."""

    def step(
        self, action: np.ndarray
    ) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        seen, reward, terminated, truncated, info = super().step(action)
        fallen = bool(self.np_random.random() < 0.1)
        return seen, reward, terminated or fallen, truncated and not fallen, info
