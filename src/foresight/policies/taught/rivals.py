"""What needs no world model: repeating a demonstration's actions, and one action for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from foresight.core.errors import ForesightError
from foresight.policies.taught.demonstration import Demonstration, Recorded


class ReplayAgent:
    """Repeats a demonstration's actions one by one, without looking; then the last one.

    Args:
        find: the demonstration of a seed.

    Raises:
        ForesightError: on ``seed``, a demonstration without actions.
    """

    def __init__(self, find: Callable[[int], Demonstration]) -> None:
        self.find = find
        self.actions = np.zeros((1, 1), np.float32)
        self.step = 0

    def seed(self, seed: int) -> None:
        """Take up the demonstration of this seed."""
        found = self.find(seed)
        if found.actions is None:
            raise ForesightError(
                f"{found.source} holds no actions, so there is nothing to replay: give an episode "
                "of a dataset."
            )
        self.actions = np.asarray(found.actions, np.float32)

    def reset(self, observation: dict[str, Any]) -> None:
        """Back to the first action."""
        self.step = 0

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The next action ``[A]``."""
        action: np.ndarray = self.actions[min(self.step, len(self.actions) - 1)]
        self.step += 1
        return action


class ConstantAgent:
    """The same action at every step.

    Args:
        action: ``[A]``.
    """

    def __init__(self, action: Float[np.ndarray, " A"]) -> None:
        self.action = np.asarray(action, np.float32)

    def reset(self, observation: dict[str, Any]) -> None:
        """Nothing to forget."""

    def act(self, observation: dict[str, Any]) -> np.ndarray:
        """The action."""
        return self.action


@dataclass(frozen=True)
class ReplayFactory:
    """Makes the agent that repeats the actions of its seed's episode; picklable."""

    demonstrations: str
    """Folder of a dataset with one episode for each seed."""

    def __call__(self) -> ReplayAgent:
        """Open the dataset and build the agent."""
        return ReplayAgent(Recorded(self.demonstrations))


@dataclass(frozen=True)
class ConstantFactory:
    """Makes the agent of one action; picklable."""

    action: tuple[float, ...]

    def __call__(self) -> ConstantAgent:
        """Build the agent."""
        return ConstantAgent(np.array(self.action))
