"""A round finger pushes a puck over a table with friction: it moves only while it is pushed."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from foresight.envs.planar.world import Canvas, Colour, Place

FINGER, PUCK = 0.05, 0.09
"""Radii, in sides of the square."""
SPEED, PARTS = 0.05, 5
"""Sides that the largest action moves the finger in a decision, and the short moves of one."""
MARGIN = 0.22
"""The puck is placed this far from the edges, or the finger would have no room behind it."""
NEAREST, FARTHEST = 0.15, 0.45
"""Between which the puck's way to the goal is long."""
GAP = 0.02
"""Between finger and puck in the goal picture."""
RED: Colour = (204, 51, 51)
BLUE: Colour = (52, 96, 176)


class PuckTable:
    """The world of ``push/puck``; contact is quasi-static, the puck yields along the normal."""

    names = ("agent_x", "agent_y", "puck_x", "puck_y", "goal_x", "goal_y")
    reach = 0.06

    def __init__(self) -> None:
        self.numbers: Float64[np.ndarray, "6"] = np.array([0.2, 0.5, 0.4, 0.5, 0.7, 0.5])

    @property
    def agent(self) -> Place:
        """Where the finger is."""
        return self.numbers[:2]

    @property
    def puck(self) -> Place:
        """Where the puck is."""
        return self.numbers[2:4]

    @property
    def moved(self) -> Place:
        """The puck."""
        return self.puck

    @property
    def goal(self) -> Place:
        """Where the puck has to be."""
        return self.numbers[4:6]

    def begin(self, random: np.random.Generator) -> None:
        """Puck and goal at a fair distance, the finger anywhere beside the puck."""
        inside = (MARGIN, 1 - MARGIN)
        self.numbers[2:4] = random.uniform(*inside, 2)
        self.numbers[4:6] = random.uniform(*inside, 2)
        while not NEAREST <= self.distance() <= FARTHEST:
            self.numbers[4:6] = random.uniform(*inside, 2)
        self.numbers[:2] = random.uniform(FINGER, 1 - FINGER, 2)
        while np.hypot(*(self.agent - self.puck)) < FINGER + PUCK + GAP:
            self.numbers[:2] = random.uniform(FINGER, 1 - FINGER, 2)

    def advance(self, action: Float64[np.ndarray, "2"]) -> None:
        """Move the finger; the puck gives way as far as the edges let it, then stops the finger."""
        for part in np.tile(SPEED / PARTS * action, (PARTS, 1)):
            agent = np.clip(self.agent + part, FINGER, 1 - FINGER)
            apart = self.puck - agent
            far = float(np.hypot(*apart))
            if far < FINGER + PUCK:
                normal = apart / far if far > 1e-9 else np.array([1.0, 0.0])
                puck = np.clip(agent + normal * (FINGER + PUCK), PUCK, 1 - PUCK)
                if np.hypot(*(puck - agent)) < FINGER + PUCK - 1e-9:
                    continue  # it is wedged against an edge, and so is the finger
                self.numbers[2:4] = puck
            self.numbers[:2] = agent

    def distance(self) -> float:
        """From puck to goal."""
        return float(np.hypot(*(self.puck - self.goal)))

    def draw(self, canvas: Canvas, goal: bool) -> None:
        """Puck and finger; of the goal the finger is where it would be after a straight push."""
        puck, agent = (self.goal, self.resting()) if goal else (self.puck, self.agent)
        canvas.disc(puck, PUCK, BLUE)
        canvas.disc(agent, FINGER, RED)

    def resting(self) -> Place:
        """Where the finger ends that pushes the puck straight to its goal from where it is."""
        way = self.goal - self.puck
        length = float(np.hypot(*way))
        along = way / length if length > 1e-9 else np.array([1.0, 0.0])
        return np.clip(self.goal - along * (FINGER + PUCK + GAP), FINGER, 1 - FINGER)
