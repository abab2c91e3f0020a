"""Jobs for the tests of the process pool, in a module that worker processes can import."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError


class Square:
    """Squares numbers; keeps count of what this copy did.

    Nothing here imports torch, unless its threads are asked for: a worker starts in a moment then.
    """

    def __init__(self, slow: float = 0.0) -> None:
        self.slow, self.done = slow, 0

    def __call__(self, item: int) -> tuple[int, int, int]:
        time.sleep(self.slow * (item % 2 == 0))
        self.done += 1
        return item * item, os.getpid(), self.done


class Threads:
    """How many threads torch would use."""

    def __call__(self, item: int) -> int:
        import torch

        return torch.get_num_threads()


class Told:
    """Leaves a file for every item that it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, item: int) -> int:
        (self.folder / str(item)).touch()
        return item


class Sleeper:
    """Takes its time."""

    def __call__(self, item: int) -> int:
        time.sleep(item)
        return item


class Dying:
    """Takes its process with it at item 3."""

    def __call__(self, item: int) -> int:
        if item == 3:
            os._exit(7)
        return item


class Failing:
    """Fails at item 1, as a user's mistake or as a bug."""

    def __init__(self, bug: bool) -> None:
        self.bug = bug

    def __call__(self, item: int) -> int:
        if item == 1:
            raise KeyError("lost") if self.bug else ForesightError("no weights at x: train first.")
        return item


def unbuilt() -> Square:
    """A job that cannot be made."""
    raise ForesightError("no such model.")


def holds_torch(episode: Episode) -> bool:
    """Whether the process that played an episode has loaded torch."""
    return len(episode) > 0 and "torch" in sys.modules


def told_aside(number):
    """The number and the process, loudly."""
    print("this is seen by nobody")
    return number, os.getpid()


def fails_aside():
    """A user's mistake."""
    raise ForesightError("There is no such thing.")


def dies_aside():
    """Ends without a word."""
    os._exit(3)
