"""A rival that needs no world model: it repeats a demonstration's actions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.policies.taught.demonstration import Demonstration, Recorded


class ReplayPolicy(Policy):
    """Repeats a demonstration's actions one by one, without looking; then the last one.

    Args:
        find: the demonstration of a seed.
    """

    def __init__(self, find: Callable[[int], Demonstration]) -> None:
        self.find = find
        self.actions = np.zeros((1, 1), np.float32)
        self.step = 0

    def reset(self, observation: Observation, seed: int) -> None:
        """Take up the demonstration of this seed.

        Raises:
            ForesightError: a demonstration without actions.
        """
        found = self.find(seed)
        if found.actions is None:
            raise ForesightError(
                f"{found.source} holds no actions, so there is nothing to replay: give an episode "
                "of a dataset."
            )
        self.actions = np.asarray(found.actions, np.float32)
        self.step = 0

    def act(self, observation: Observation) -> Action:
        """The next action ``[A]``."""
        action: np.ndarray = self.actions[min(self.step, len(self.actions) - 1)]
        self.step += 1
        return action


@dataclass(frozen=True)
class ReplayFactory:
    """Makes the policy that repeats the actions of its seed's episode; picklable."""

    demonstrations: str
    """Folder of a dataset with one episode for each seed."""

    def __call__(self, spec: Spec) -> ReplayPolicy:
        """Open the dataset and build the policy."""
        return ReplayPolicy(Recorded(self.demonstrations))
