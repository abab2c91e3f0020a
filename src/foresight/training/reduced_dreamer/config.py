"""How the reduced Dreamer learns, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, field

from foresight.core.errors import ForesightError
from foresight.training.acting_config import ActingConfig
from foresight.worldmodel.rssm.config import RSSMSizes

MOST_TRAINED = 32.0
"""Largest train ratio: more would no longer be a reduced Dreamer."""


@dataclass(frozen=True)
class DreamerConfig:
    """An update; numbers are DreamerV3's unless something else is said."""

    batch: int = 16
    """Windows."""
    length: int = 32
    """Decisions of a window; DreamerV3 has 64 and learns from them half as often."""
    ratio: float = MOST_TRAINED
    """Replayed decisions for each one lived, 32 at most (DreamerV3: 512)."""
    lr: float = 4e-4
    """Adam's learning rate of the world model, ten times DreamerV3's: there are fewer updates."""
    actor_lr: float = 1e-4
    """Of the actor."""
    critic_lr: float = 2e-4
    """Of the critic."""
    clip: float = 100.0
    """Largest gradient norm of world model, actor and critic, each on its own."""
    free: float = 1.0
    """Nats of divergence that are not punished."""
    dynamics: float = 1.0
    """Weight of teaching the prior."""
    posterior: float = 0.1
    """Weight of holding the posterior near it."""
    barlow: float = 0.05
    """Weight of the Barlow-Twins loss (R2-Dreamer), where there is no decoder."""
    redundancy: float = 5e-4
    """λ of it: what correlation of different numbers counts."""
    horizon: int = 15
    """Decisions of a dream."""
    dreams: int = 256
    """Dreams of an update, begun at as many states of the windows; 0 for every state."""
    discount: float = 0.997
    """γ of one decision."""
    mixture: float = 0.95
    """λ of the returns."""
    entropy: float = 3e-4
    """Weight of the actor's entropy, in units of the spread of returns."""
    tau: float = 0.02
    """Share by which the slow critic moves in every update."""
    memory: float = 0.99
    """Of the running spread of returns; those that differ by less than 1 are not magnified."""

    def __post_init__(self) -> None:
        if min(self.batch, self.length, self.horizon) < 1 or self.dreams < 0:
            raise ForesightError(
                f"{self.batch} windows of {self.length} decisions and {self.dreams} dreams of "
                f"{self.horizon} teach nothing: choose at least 1 of each (0 dreams for all)."
            )
        if not 0 < self.ratio <= MOST_TRAINED:
            raise ForesightError(
                f"A train ratio of {self.ratio} is refused: the reduced Dreamer replays each "
                f"decision at most {MOST_TRAINED:g} times."
            )
        if not 0 < self.discount < 1:
            raise ForesightError(
                f"A discount of {self.discount} is refused: choose one between 0 and 1."
            )

    @property
    def replayed(self) -> int:
        """Decisions of an update."""
        return self.batch * self.length


@dataclass(frozen=True)
class DreamerTraining(ActingConfig):
    """Where, for how long and how a reduced Dreamer learns."""

    parallel: int = 1
    """Episodes side by side; learning waits for their end."""
    random_rounds: int = 5
    """Rounds of random actions to begin with."""
    save_every: int = 10
    """Rounds between two saved states."""
    sizes: RSSMSizes = field(default_factory=RSSMSizes)
    """The network."""
    learner: DreamerConfig = field(default_factory=DreamerConfig)
    """The updates."""
