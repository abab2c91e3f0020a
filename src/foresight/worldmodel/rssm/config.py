"""Sizes of the reduced Dreamer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError
from foresight.perception.senses import FlatRobot

LARGEST = 1_000_000
"""Parameters that a reduced Dreamer has at most."""


@dataclass(frozen=True)
class RSSMSizes:
    """How large it is, and what its state is to represent."""

    representation: Literal["r2", "reconstruction"] = "r2"
    """reconstruction: the input is read back from the state; r2: the state is correlated with the
    input's embedding and nothing else, no decoder (R2-Dreamer, arXiv 2603.18202)."""
    deter: int = 176
    """D, numbers of the recurrent state."""
    groups: int = 32
    """G, categorical latents."""
    classes: int = 32
    """C, values of each."""
    hidden: int = 128
    """Width of every layer."""
    bins: int = 127
    """Bins of reward and value."""

    def __post_init__(self) -> None:
        counts = (self.deter, self.groups, self.classes - 1, self.hidden, self.bins - 1)
        if min(counts) < 1 or self.representation not in ("r2", "reconstruction"):
            raise ForesightError(
                f"A state that {self.representation!r} shapes, of {self.deter} numbers and "
                f"{self.groups} latents of {self.classes} values, with {self.hidden} units and "
                f"{self.bins} bins, is refused: choose r2 or reconstruction, and positive sizes."
            )


@dataclass(frozen=True, kw_only=True)
class RSSMConfig(FlatRobot):
    """What a reduced Dreamer is built from."""

    sizes: RSSMSizes

    @property
    def latent(self) -> int:
        """Z, numbers of a state as heads and actor read it."""
        return self.sizes.deter + self.sizes.hidden
