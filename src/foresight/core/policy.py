"""Everything that acts: scripted, planned, cloned, learned, or a user's own."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeGuard, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float32

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation

Action = Float32[np.ndarray, " A"]
P = TypeVar("P", bound="Policy")


class Policy(ABC):
    """Chooses an action for each observation.

    A policy belongs to one robot at a time. :class:`BatchPolicy` is for those that can serve
    several at once.
    """

    def reset(self, observation: Observation, seed: int) -> None:  # noqa: B027 (optional)
        """Begin an episode: forget the last one.

        Args:
            observation: the first one; ``act`` will be asked about it, too.
            seed: all randomness of the episode follows from it.
        """

    @abstractmethod
    def act(self, observation: Observation) -> Action:
        """The next action, float32 ``[A]``, in the environment's units and within its bounds."""

    def notes(self) -> dict[str, Any]:
        """Plain values measured during the episode; they join its row of results."""
        return {}

    def close(self) -> None:  # noqa: B027 (optional)
        """Free what the policy holds: processes, simulators, connections."""

    def save(self, folder: Path | str) -> None:
        """Write a checkpoint.

        Raises:
            ForesightError: the policy has learned nothing that could be kept.
        """
        raise ForesightError(
            f"{type(self).__name__} cannot be saved: it has no save() that writes a checkpoint."
        )

    @classmethod
    def from_pretrained(cls: type[P], name: Path | str, revision: str | None = None) -> P:
        """Load the policy of a checkpoint, from a folder or from the Hugging Face hub.

        Args:
            name: a folder, or a hub id such as ``somebody/reacher``.
            revision: branch, tag or commit on the hub.

        Raises:
            ForesightError: no such checkpoint, or one of another kind.
        """
        # Imported here: policies without weights act in processes that never load torch.
        from foresight.core.checkpoint import load
        from foresight.core.hub import fetch

        found = load(fetch(name, revision=revision))
        if not isinstance(found, cls):
            raise ForesightError(
                f"{name} holds a {type(found).__name__} and a {cls.__name__} was expected: give "
                f"another checkpoint, or load it with {type(found).__name__}."
            )
        return found

    def push_to_hub(self, hub_id: str, private: bool = True, message: str = "Upload") -> str:
        """Save the policy and send it to the Hugging Face hub.

        Args:
            hub_id: OWNER/NAME; made if need be.
            private: of a repository that is made.
            message: of the commit.

        Returns:
            The commit's address.

        Raises:
            ForesightError: as :meth:`save` and `foresight.core.hub.push`.
        """
        from foresight.core.hub import push

        with tempfile.TemporaryDirectory() as folder:
            self.save(folder)
            return push(folder, hub_id, private, message)


class BatchPolicy(Policy):
    """A policy that acts for several robots at once, each with an episode of its own."""

    @abstractmethod
    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin an episode for each observation; the batch keeps its size until the next reset."""

    @abstractmethod
    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next actions.

        Args:
            observations: one for each robot, in the order of ``reset_batch``; a robot whose episode
                is over repeats its last one.
            active: False for robots whose episode is over; their actions are not used.
        """

    def notes_batch(self) -> list[dict[str, Any]]:
        """As `notes`, for each robot of the batch; empty where nothing is measured."""
        return []

    def notes(self) -> dict[str, Any]:
        """Notes of one robot."""
        found = self.notes_batch()
        return found[0] if found else {}

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode of one robot."""
        self.reset_batch([observation], [seed])

    def act(self, observation: Observation) -> Action:
        """The action of one robot."""
        action: np.ndarray = self.act_batch([observation])[0]
        return action


@runtime_checkable
class PredictsChunks(Protocol):
    """A policy that decides several actions ahead."""

    def predict_action_chunk(self, observation: Observation) -> Float32[np.ndarray, "K A"]:
        """The next K actions."""


def predicts_chunks(policy: object) -> TypeGuard[PredictsChunks]:
    """Whether a policy decides several actions ahead; one behind a server says so itself."""
    return isinstance(policy, PredictsChunks) and getattr(policy, "chunks", True)
