"""How an agent adapts its world model to what happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError

Adapt = Literal["none", "rls", "gradient", "gain", "finetune"]
"""How: not at all; a linear residual by recursive least squares; a small network as residual by
gradient steps; the strength of each actuator; the dynamics itself by gradient steps."""


@dataclass(frozen=True)
class RLSConfig:
    """A residual on the model's prediction that is linear in what is known of state and action."""

    forgetting: float = 0.995
    """What a decision keeps of the weight of all earlier ones."""
    ridge: float = 30.0
    """Decisions of a zero residual that what was seen is weighed against, for each feature."""
    directions: int = 16
    """Random directions in which the state is told; 0 for actions and an offset alone."""
    gated: bool = True
    """Correct nothing until it was worth it lately (`foresight.policies.adaptive.gate`)."""
    keep: bool = False
    """Go on from what the last episode taught, instead of forgetting it."""

    def __post_init__(self) -> None:
        expect(self.directions >= 0, "number of directions", self.directions, "0 or more")


@dataclass(frozen=True)
class GradientConfig:
    """A small network as residual, learned by a few gradient steps at each decision."""

    steps: int = 3
    """Steps of Adam at a decision."""
    rate: float = 3e-3
    """Of Adam."""
    decay: float = 1e-2
    """Weight decay, apart from the gradient (AdamW)."""
    recent: int = 64
    """Decisions that are learned from, the last ones."""
    hidden: int = 32
    """Width."""
    directions: int = 16
    """Random directions in which the state is told."""
    gated: bool = True
    """Correct nothing until it was worth it lately (`foresight.policies.adaptive.gate`)."""
    keep: bool = False
    """Go on from what the last episode taught, instead of forgetting it."""

    def __post_init__(self) -> None:
        expect(min(self.steps, self.recent, self.hidden) >= 1, "steps", self.steps, "1 or more")
        expect(self.rate > 0, "rate", self.rate, "a number above 0")
        expect(self.directions >= 0, "number of directions", self.directions, "0 or more")


@dataclass(frozen=True)
class GainConfig:
    """The strength of each actuator, as the model has to be told of it to be right."""

    forgetting: float = 0.995
    """What a decision keeps of the weight of all earlier ones."""
    ridge: float = 2.0
    """Weight of the belief that nothing has changed, in decisions that move the state by as much as
    the model errs."""
    least: float = 0.2
    """The least strength that is believed."""
    most: float = 3.0
    """The largest."""
    prior: bool = True
    """Ask for what the action prior wants to happen: its actions over the strengths."""
    gated: bool = True
    """Correct nothing until it was worth it lately (`foresight.policies.adaptive.gate`)."""
    keep: bool = False
    """Go on from what the last episode taught, instead of forgetting it."""

    def __post_init__(self) -> None:
        expect(0 < self.least <= 1 <= self.most, "least strength", self.least, "from 0 to 1")


@dataclass(frozen=True)
class FinetuneConfig:
    """The dynamics' own weights, by a few gradient steps at each decision."""

    steps: int = 2
    """Steps of Adam at a decision."""
    rate: float = 3e-4
    """Of Adam."""
    batch: int = 32
    """Decisions of a step, drawn from the recent ones."""
    recent: int = 128
    """Decisions that are learned from, the last ones."""
    gated: bool = True
    """Correct nothing until it was worth it lately (`foresight.policies.adaptive.gate`)."""
    keep: bool = False
    """Go on from what the last episode taught, instead of forgetting it."""

    def __post_init__(self) -> None:
        expect(min(self.steps, self.batch, self.recent) >= 1, "steps", self.steps, "1 or more")
        expect(self.rate > 0, "rate", self.rate, "a number above 0")


Adaptation = RLSConfig | GradientConfig | GainConfig | FinetuneConfig
KINDS: dict[str, type[Adaptation]] = {
    "rls": RLSConfig,
    "gradient": GradientConfig,
    "gain": GainConfig,
    "finetune": FinetuneConfig,
}


def adaptation_of(adapt: Adapt, keep: bool = False) -> Adaptation | None:
    """The usual settings of a kind; None for none.

    Args:
        adapt: the kind.
        keep: go on from what the last episode taught.

    Raises:
        ForesightError: there is no such kind.
    """
    if adapt == "none":
        return None
    if adapt not in KINDS:
        raise ForesightError(
            f"Unknown adaptation {adapt!r}: choose one of none, {', '.join(KINDS)}."
        )
    return KINDS[adapt](keep=keep)


def expect(fine: bool, what: str, value: float, wanted: str) -> None:
    """Refuse a setting.

    Raises:
        ForesightError: it is not fine.
    """
    if not fine:
        raise ForesightError(f"A {what} of {value} is refused: give {wanted}.")
