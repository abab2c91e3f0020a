"""Where agents without search act while they learn, what they sense, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.perception.senses import Senses

FIRST_SEED = 2_000_000
"""Episodes for learning; seeds below are for evaluation."""
SEEDS_EACH = 1_000_000
"""Episodes that an agent can live."""


@dataclass(frozen=True)
class ActingConfig:
    """What all agents share that learn by acting, without pictures of their own being kept."""

    env: EnvConfig
    """Where."""
    decisions: int = 250_000
    """Decisions to learn from, those at random among them; the last episodes are lived whole."""
    seed: int = 0
    """Of training episodes, weights and noise."""
    encoder: str = ""
    """Frozen encoder whose pooled tokens are sensed; without one the robot's own state is."""
    readout: str = "tubelet:grid=1"
    """How tokens become features."""
    device: str = "cpu"
    """Where the encoder computes; the small networks stay on the CPU."""
    parallel: int = 1
    """Episodes side by side."""

    def __post_init__(self) -> None:
        if min(self.decisions, self.parallel) < 1 or not 0 <= self.seed < 2000:
            raise ForesightError(
                f"{self.decisions} decisions in {self.parallel} episodes side by side under seed "
                f"{self.seed} are refused: choose positive numbers, and a seed of 0 to 1999."
            )

    def senses(self) -> Senses:
        """What the agent takes in."""
        return Senses(self.encoder, self.readout, self.device)

    def seeds(self, number: int) -> list[int]:
        """Of the episodes of a round: an agent's own, and of no evaluation."""
        first = FIRST_SEED + self.seed * SEEDS_EACH + number * self.parallel
        return list(range(first, first + self.parallel))
