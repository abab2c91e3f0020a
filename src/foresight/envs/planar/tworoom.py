"""Two rooms joined by a door; a point agent has to go where the goal picture shows it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from foresight.envs.planar.world import Canvas, Colour, Place

WALL, DOOR = 0.04, 0.12
"""Half the wall's thickness and half the door's width, in sides of the square."""
MIDDLE = 0.5
"""Where the wall stands."""
RADIUS = 0.045
"""Of the agent."""
SPEED = 0.05
"""Sides of the square that the largest action moves the agent in a decision."""
PARTS = 5
"""Short moves of a decision, so that no wall is jumped."""
NEAREST = 0.2
"""Least distance of agent and goal at the start: more than three times what counts as done."""
SHIFTED = (0.2, 0.8)
"""Between which the door's middle lies where it is elsewhere in every episode."""
AGENT: Colour = (204, 51, 51)
STONE: Colour = (70, 74, 84)


class TwoRooms:
    """The world of ``tworoom/...``.

    Args:
        moving: the door is elsewhere in every episode; else in the middle.
    """

    names = ("agent_x", "agent_y", "goal_x", "goal_y", "door_y")
    reach = 0.06

    def __init__(self, moving: bool = False) -> None:
        self.moving = moving
        self.numbers: Float64[np.ndarray, "5"] = np.array([0.25, 0.5, 0.75, 0.5, MIDDLE])

    @property
    def agent(self) -> Place:
        """Where the agent is."""
        return self.numbers[:2]

    @property
    def moved(self) -> Place:
        """The agent itself."""
        return self.agent

    @property
    def goal(self) -> Place:
        """Where it has to go."""
        return self.numbers[2:4]

    @property
    def door(self) -> float:
        """The height of the door's middle."""
        return float(self.numbers[4])

    def begin(self, random: np.random.Generator) -> None:
        """Agent and goal anywhere in the rooms, at least `NEAREST` apart."""
        self.numbers[4] = random.uniform(*SHIFTED) if self.moving else MIDDLE
        self.numbers[:2] = self.free_place(random)
        self.numbers[2:4] = self.free_place(random)
        while self.distance() < NEAREST:
            self.numbers[2:4] = self.free_place(random)

    def free_place(self, random: np.random.Generator) -> Place:
        """A place in one of the rooms, where the agent touches nothing."""
        x = random.uniform(RADIUS, MIDDLE - WALL - RADIUS)
        y = random.uniform(RADIUS, 1 - RADIUS)
        return np.array([x if random.random() < 0.5 else 1 - x, y])

    def free(self, x: float, y: float) -> bool:
        """Whether the agent fits there, within the square."""
        return abs(x - MIDDLE) >= WALL + RADIUS or abs(y - self.door) <= DOOR - RADIUS

    def advance(self, action: Float64[np.ndarray, "2"]) -> None:
        """Move, and slide along what is in the way."""
        x, y = map(float, self.agent)
        right, down = (float(part) * SPEED / PARTS for part in action)
        for _ in range(PARTS):
            tried = min(max(x + right, RADIUS), 1 - RADIUS)
            x = tried if self.free(tried, y) else x
            tried = min(max(y + down, RADIUS), 1 - RADIUS)
            y = tried if self.free(x, tried) else y
        self.numbers[:2] = x, y

    def distance(self) -> float:
        """From agent to goal, as the crow flies."""
        return float(np.hypot(*(self.agent - self.goal)))

    def draw(self, canvas: Canvas, goal: bool) -> None:
        """The rooms, and the agent where it is or where it has to go."""
        canvas.box((MIDDLE - WALL, -1), (MIDDLE + WALL, self.door - DOOR), STONE)
        canvas.box((MIDDLE - WALL, self.door + DOOR), (MIDDLE + WALL, 2), STONE)
        canvas.disc(self.goal if goal else self.agent, RADIUS, AGENT)
