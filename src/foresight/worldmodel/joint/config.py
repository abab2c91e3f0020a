"""What a jointly learned model is made of."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.errors import ForesightError

GROUP = 8
"""Dimensions of z that share one softmax (SimNorm)."""


@dataclass(frozen=True)
class JointConfig:
    """Everything needed to build the networks again, and what they were trained on."""

    task: str
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    places: int
    """Tokens of a picture."""
    token_dim: int
    """Channels of a token."""
    repeat: int = 2
    """Environment steps for which one decision is held."""
    axes: int = 48
    """Numbers kept of each token."""
    history: int = 2
    """Pictures that a state is read from: the present one and those one, two, … decisions ago."""
    senses: int = 0
    """Numbers of proprioception that training may ask for (acting never does); 0 for none."""
    latent: int = 128
    """Z."""
    members: int = 5
    """Dynamics in the ensemble."""
    hidden: int = 256
    """Width of all networks behind the adapter."""
    adapter: int = 512
    """Width of the adapter."""
    values: int = 2
    """Value networks."""
    discount: float = 0.97
    """γ of one decision."""
    encoder: str = ""
    encoder_fingerprint: str = ""
    steps: int = 0
    """Environment steps it has learned from."""

    def __post_init__(self) -> None:
        if self.latent % GROUP or self.latent < GROUP:
            raise ForesightError(
                f"A latent of {self.latent} dimensions does not divide into groups of {GROUP}: "
                f"choose a multiple of {GROUP}."
            )
        if self.history < 1 or self.senses < 0:
            raise ForesightError(
                f"A state of {self.history} pictures and {self.senses} senses cannot be built: "
                "choose at least 1 and 0."
            )
        if self.members < 1 or self.values < 2 or self.repeat < 1:
            raise ForesightError(
                f"A model of {self.members} dynamics and {self.values} values that holds actions "
                f"for {self.repeat} steps cannot be built: choose at least 1, 2 and 1."
            )
        if not 0 < self.discount < 1:
            raise ForesightError(
                f"A discount of {self.discount} is refused: choose one between 0 and 1."
            )
