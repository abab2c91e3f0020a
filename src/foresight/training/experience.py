"""Encoded experience of one task: features, actions and rewards, split by episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import read_json, write_json
from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.data.windows import split_episodes
from foresight.worldmodel.config import StateEncoderConfig

SPLIT = "split.json"


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
    def load(
        cls,
        dataset: Dataset,
        caches: FeatureCache | Mapping[str, FeatureCache],
        validation: float,
        seed: int,
    ) -> Experience:
        """Join a dataset, of any robot, with its features and split it by episode.

        Features of several cameras stand side by side. Rewards, the robot's own numbers and ends
        are taken where the dataset has them.

        Raises:
            ForesightError: a cache is not finished, there are too few episodes to split, no
                actions, or a number is not finite.
        """
        parts = list(caches.values()) if isinstance(caches, Mapping) else [caches]
        for cache in parts:
            if not cache.complete:
                raise ForesightError(
                    f"The feature cache holds {int(cache.done.sum())} of {len(cache.done)} "
                    "episodes: finish `foresight encode` first."
                )
        expect_actions(dataset)
        train, held_out = split_of(dataset.lengths, validation, seed)
        actions = _column(dataset, "action")
        assert actions is not None
        rewards = _column(dataset, "next.reward")
        return cls(
            features=_side_by_side(parts),
            actions=actions,
            rewards=None if rewards is None else rewards.reshape(-1),
            offsets=np.asarray(dataset.offsets),
            train=train,
            validation=held_out,
            terminated=torch.tensor([bool(meta.terminated) for meta in dataset.metas]),
            proprio=_column(dataset, "observation.state"),
        )


def _side_by_side(caches: Sequence[FeatureCache]) -> np.ndarray:
    """``[N, F]`` of one camera as they lie on disk, or of several, joined."""
    arrays = [cache.array.reshape(len(cache.array), -1) for cache in caches]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=1)


def _column(dataset: Dataset, name: str) -> Float[Tensor, "N k"] | None:
    """A column as floats, one row for each step; None where there is none."""
    if not dataset.has(name):
        return None
    values = np.array(dataset.column(name), dtype=np.float32)
    return torch.from_numpy(values.reshape(len(values), -1))


def expect_actions(dataset: Dataset) -> None:
    """Refuse a dataset that nothing can be learned from.

    Raises:
        ForesightError: fewer than 2 episodes, or no actions.
    """
    if len(dataset) < 2:
        raise ForesightError(
            f"Training needs at least 2 episodes and {dataset.path} has {len(dataset)}: collect "
            "more."
        )
    if not dataset.has("action"):
        raise ForesightError(
            f"{dataset.path} has no actions, so nothing can be learned of what they do: record "
            "them."
        )


def save_split(folder: Path, train: Sequence[int], held_out: Sequence[int]) -> None:
    """Say beside a checkpoint which episodes it has learned from."""
    write_json(folder / SPLIT, {"train": list(train), "held_out": list(held_out)})


def load_split(folder: Path) -> tuple[list[int], list[int]] | None:
    """Training and held-out episodes of a checkpoint; None where nobody said."""
    path = folder / SPLIT
    if not path.exists():
        return None
    found = read_json(path)
    return list(found["train"]), list(found["held_out"])


def split_of(lengths: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Training and held-out episodes; one of a single step holds nothing to be measured on.

    Raises:
        ForesightError: fewer than 2 episodes are longer than that.
    """
    long = [index for index, length in enumerate(lengths) if length > 1]
    if len(long) < 2:
        raise ForesightError(
            f"{len(long)} of {len(lengths)} episodes are longer than one step: training needs 2."
        )
    train, held_out = (
        [long[place] for place in part] for part in split_episodes(len(long), fraction, seed)
    )
    return train, held_out
