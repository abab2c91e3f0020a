"""Spot and a mark that stands somewhere ahead: one world with four things to be paid for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.envs.spot.environment import SpotEnv
from foresight.envs.spot.model import heading
from foresight.envs.spot.tasks import COMMAND_RANGE, MARK_TASK, tracking_reward

WALK = "walk"
AIMS = {
    WALK: "walk straight on where a mark stands",
    "turn": "face the mark",
    "sidestep": "come level with the mark without turning away from straight on",
    "go-to": "go to the mark and stay there",
}
"""What is paid for, by name, and in words."""
DISTANCE, BEARING = (1.8, 3.0), (0.4, 0.8)
"""Metres from Spot to the mark, and radians by which it stands to the left or the right, as an
episode begins."""
NEAR = 0.8
"""Metres from the middle of the body to that of the mark that are as good as none."""
WIDTHS = {"turn": 0.3, "sidestep": 0.4, "heading": 0.4, "go-to": 0.5}
"""Errors (radians, metres, radians, metres) that halve a reward."""
SCENE_STREAM = 77
"""Of an episode's chance, that which places the mark."""


class MarkEnv(SpotEnv):
    """``spot/mark``: velocity commands, a mark in the picture, and one of four rewards.

    Spot begins along the world's first axis, the mark stands to the left or the right by chance,
    and no number of the state tells where: it has to be seen. ``info["own_reward"]`` is what
    walking straight on would have earned in the decision. A perfect control step has 1, whatever
    the aim.

    Args:
        aim: a key of `AIMS`.
        rest: as of `SpotEnv`, without the task.
        options: see there.

    Raises:
        ForesightError: no such aim, or as `SpotEnv`.
    """

    def __init__(self, aim: str, *rest: Any, **options: Any) -> None:
        if aim not in AIMS:
            raise ForesightError(
                f"Spot cannot be paid for {aim!r} with a mark: choose among {', '.join(AIMS)}."
            )
        self.aim, self._own = aim, 0.0
        super().__init__(MARK_TASK, *rest, **options)
        self.task_text = AIMS[aim]
        self.interface = replace(self.interface, tasks=(self.task_text,))

    @property
    def mark(self) -> Float64[np.ndarray, "2"]:
        """Where the mark stands, in metres in the world."""
        return mark_place(self._seed)

    @property
    def pose(self) -> Float64[np.ndarray, "3"]:
        """Where Spot stands in metres, and how it is turned in radians, in the world."""
        place = self._data.qpos
        return np.array([place[0], place[1], heading(place[3:7])])

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As `SpotEnv.step`."""
        self._own = 0.0
        seen, reward, terminated, truncated, info = super().step(action)
        return seen, reward, terminated, truncated, {**info, "own_reward": self._own}

    def truth(self) -> dict[str, float]:
        """As `SpotEnv.truth`, with the heading, and the mark as Spot's body has it."""
        pose = self.pose
        distance, bearing = seen_from(pose, self.mark)
        named = {"heading": float(pose[2]), "mark distance": distance, "mark bearing": bearing}
        return super().truth() | named

    def _first_heading(self, random: np.random.Generator) -> float:
        # What keeps its direction can be seen by the ground's lines, which follow the world's axes.
        return 0.0

    def _command(self, number: int) -> Float64[np.ndarray, "3"]:
        """Straight on, as fast as commands go."""
        return np.array([COMMAND_RANGE[0] * self._reach, 0.0, 0.0])

    def _reward(self) -> float:
        own = tracking_reward(self._asked, self.velocity)
        self._own += own
        return own if self.aim == WALK else aim_reward(self.aim, self.pose, self.mark)

    def _look(self) -> None:
        self._data.mocap_pos[1] = (*self.mark, 0.0)
        super()._look()


def mark_place(seed: int) -> Float64[np.ndarray, "2"]:
    """Where the mark of an episode stands, in metres from where Spot begins."""
    random = np.random.default_rng([seed, SCENE_STREAM])
    distance, bearing = random.uniform(*DISTANCE), random.uniform(*BEARING)
    bearing *= random.choice([-1.0, 1.0])
    return distance * np.array([np.cos(bearing), np.sin(bearing)])


def aim_reward(aim: str, pose: Float64[np.ndarray, "3"], mark: Float64[np.ndarray, "2"]) -> float:
    """What a control step earns that ends in a pose.

    Each is 1 where nothing is left to do and falls as ``1 / (1 + (error / width)²)``, whose long
    tails tell better from worse everywhere.

    Args:
        aim: turn, sidestep or go-to.
        pose: metres and the heading in radians, in the world.
        mark: where it stands, in the world.
    """
    distance, bearing = seen_from(pose, mark)
    if aim == "turn":
        return _falling(bearing, WIDTHS["turn"])
    if aim == "sidestep":
        kept = _falling(wrapped(pose[2]), WIDTHS["heading"])
        return kept * _falling(mark[1] - pose[1], WIDTHS["sidestep"])
    return _falling(max(0.0, distance - NEAR), WIDTHS["go-to"])


def seen_from(
    pose: Float64[np.ndarray, "3"], mark: Float64[np.ndarray, "2"]
) -> tuple[float, float]:
    """Distance (metres) and bearing (radians, positive to the left) of a mark from a pose."""
    ahead, left = mark - pose[:2]
    return float(np.hypot(ahead, left)), wrapped(np.arctan2(left, ahead) - pose[2])


def wrapped(angle: float) -> float:
    """An angle in radians, from -π to π."""
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


def _falling(error: float, width: float) -> float:
    return float(1.0 / (1.0 + (error / width) ** 2))
