"""What a learned latent space stands on: its spread, and the best states that were ever reached."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write
from foresight.training.replay import Replay
from studies.whitening import whitening_matrix

STATES = 20_000
"""Training states that the spread is taken from, evenly chosen."""
BEST = 256
"""Best states that are kept."""


@dataclass(frozen=True)
class Grounds:
    """Statistics of a model's own training states.

    Attributes:
        whiten: W of `whitening_matrix`, in which 1 is what training states spread.
        goals: states that the best-rewarded decisions led to.
        rewards: what those decisions earned.
    """

    whiten: Float[Tensor, "Z Z"]
    goals: Float[Tensor, "K Z"]
    rewards: Float[Tensor, " K"]

    def save(self, path: Path) -> None:
        """Write one file, atomically."""
        tensors = {"whiten": self.whiten, "goals": self.goals, "rewards": self.rewards}
        kept = {name: value.contiguous() for name, value in tensors.items()}
        atomic_write(path, lambda temporary: save_file(kept, temporary))

    @classmethod
    def load(cls, path: Path) -> Grounds:
        """Read what `save` wrote.

        Raises:
            ForesightError: the file is missing or damaged.
        """
        try:
            return cls(**load_file(path))
        except (OSError, SafetensorError, TypeError) as error:
            raise ForesightError(
                f"{path} cannot be read as statistics of a latent space ({error}): remove it, the "
                "same command makes it again."
            ) from error


def grounds_of(replay: Replay, best: int = BEST, seed: int = 0) -> Grounds:
    """Whiten a model's training states and find those that earned most.

    Args:
        replay: what the model was trained on, as it sees it now.
        best: states to keep; among equal rewards a random choice, so that many goals are seen.
        seed: of that choice.

    Raises:
        ForesightError: the states do not vary.
    """
    states = replay.states[: int(replay.offsets[-1])]
    spread = states[:: max(1, len(states) // STATES)]
    random = torch.Generator().manual_seed(seed)
    followed = replay.followed  # what the others led to, nobody has seen
    rewards = replay.rewards[followed]
    mixed = torch.randperm(len(rewards), generator=random)
    chosen = mixed[rewards[mixed].argsort(descending=True, stable=True)][:best]
    return Grounds(whitening_matrix(spread), replay.states[followed[chosen] + 1], rewards[chosen])
