"""What a planar world is: places in the unit square, how they change, and how they look."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from jaxtyping import Float64, UInt8

Place = Float64[np.ndarray, "2"]
Colour = tuple[int, int, int]
FLOOR: Colour = (236, 233, 226)


class World(Protocol):
    """The physics of one task. Lengths are in sides of the square; y points down, as in pictures.

    Attributes:
        numbers: the true state, float64 ``[S]``; the world is a function of it.
    """

    numbers: Float64[np.ndarray, " S"]

    @property
    def names(self) -> tuple[str, ...]:
        """Of these numbers."""

    @property
    def reach(self) -> float:
        """Distance to the goal within which the task is done."""

    @property
    def moved(self) -> Place:
        """Where what has to be moved is."""

    @property
    def goal(self) -> Place:
        """Where it has to be."""

    def begin(self, random: np.random.Generator) -> None:
        """Place everything; never so that the task is done already."""

    def advance(self, action: Float64[np.ndarray, "2"]) -> None:
        """One decision, in [-1, 1] along each axis."""

    def distance(self) -> float:
        """From what has to be moved to its place in the goal picture."""

    def draw(self, canvas: Canvas, goal: bool) -> None:
        """The present moment, or the one in which the task is done."""


class Canvas:
    """A picture of the unit square.

    Args:
        size: height and width in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        height, width = size
        self.pixels = np.empty((height, width, 3))
        self.pixels[:] = FLOOR
        self._y = ((np.arange(height) + 0.5) / height)[:, None]
        self._x = ((np.arange(width) + 0.5) / width)[None]
        self._scale = float(min(height, width))

    def disc(self, centre: Place, radius: float, colour: Colour) -> None:
        """A filled circle, its edge smoothed over a pixel so that small motions show."""
        inside = radius - np.hypot(self._x - centre[0], self._y - centre[1])
        self._paint(inside, colour)

    def box(self, low: tuple[float, float], high: tuple[float, float], colour: Colour) -> None:
        """A filled rectangle between two corners."""
        across = np.minimum(self._x - low[0], high[0] - self._x)
        down = np.minimum(self._y - low[1], high[1] - self._y)
        self._paint(np.minimum(across, down), colour)

    def picture(self) -> UInt8[np.ndarray, "H W 3"]:
        """What was drawn."""
        return np.rint(self.pixels).astype(np.uint8)

    def _paint(self, inside: np.ndarray, colour: Colour) -> None:
        """Cover pixels by how far they are inside of a shape."""
        share = np.clip(inside * self._scale + 0.5, 0.0, 1.0)[..., None]
        self.pixels += share * (np.asarray(colour, np.float64) - self.pixels)
