"""Encoded experience of one task: features, actions and rewards, split by episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.data.windows import split_episodes
from foresight.worldmodel.config import StateEncoderConfig


@dataclass(frozen=True)
class Experience:
    """What a world model learns from; N counts the steps of all episodes."""

    features: np.ndarray
    """`[N, F]`, usually a memory map."""
    actions: Float[Tensor, "N A"]
    rewards: Float[Tensor, " N"] | None
    """None where nobody gave any."""
    offsets: np.ndarray
    """`[episodes + 1]`, where each episode starts."""
    train: list[int]
    """Episodes to learn from."""
    validation: list[int]
    """Episodes never learned from."""
    terminated: Bool[Tensor, " episodes"] | None = None
    """Episodes that the task itself ended; none if not given."""
    proprio: Float[Tensor, "N P"] | None = None
    """The robot's own numbers."""

    @property
    def ends(self) -> Float[Tensor, " N"]:
        """1 for decisions that ended their episode for good, else 0."""
        found = torch.zeros(len(self.actions))
        if self.terminated is not None:
            found[torch.from_numpy(self.offsets[1:] - 1)] = self.terminated.float()
        return found

    def proprio_if(self, state: StateEncoderConfig) -> Float[Tensor, "N P"] | None:
        """The robot's numbers, if the state encoder joins them.

        Raises:
            ForesightError: it does and there are none.
        """
        if state.proprio and self.proprio is None:
            raise ForesightError(
                "The state encoder is to join proprioception and the dataset has no "
                "observation.state: leave `state.proprio` out."
            )
        return self.proprio if state.proprio else None

    @classmethod
    def load(cls, store: Dataset, cache: FeatureCache, validation: float, seed: int) -> Experience:
        """Join a store with its features and split it by episode.

        Raises:
            ForesightError: the cache is not finished, or there are too few episodes to split.
        """
        if not cache.complete:
            raise ForesightError(
                f"The feature cache holds {int(cache.done.sum())} of {len(cache.done)} episodes: "
                "finish `foresight encode` first."
            )
        if len(store) < 2:
            raise ForesightError(
                f"Training needs at least 2 episodes and {store.path} has {len(store)}: collect "
                "more."
            )
        train, held_out = split_episodes(len(store), validation, seed)
        return cls(
            features=cache.array.reshape(len(cache.array), -1),
            actions=torch.from_numpy(np.array(store.column("action"), dtype=np.float32)),
            rewards=torch.from_numpy(
                np.array(store.column("next.reward"), dtype=np.float32)
            ).reshape(-1),
            offsets=np.asarray(cache.offsets),
            train=list(train),
            validation=list(held_out),
            proprio=torch.from_numpy(np.array(store.column("observation.state"), np.float32)),
        )
