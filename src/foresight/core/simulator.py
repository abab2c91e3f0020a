"""What only experts, probes and their studies may ask of an environment: its true state."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64


@runtime_checkable
class Simulator(Protocol):
    """An environment whose true state can be read and set. No real robot has this."""

    def get_state(self) -> Float64[np.ndarray, " S"]:
        """The state, from which the episode could go on."""

    def set_state(self, state: Float64[np.ndarray, " S"]) -> dict[str, Any]:
        """Go on from a state; returns its observation as ``step`` does."""

    def truth(self) -> dict[str, float]:
        """Named quantities of the present state, for probes."""


@runtime_checkable
class Privileged(Protocol):
    """A policy that looks into the simulator; whoever runs it attaches the environment first."""

    def attach(self, env: Any) -> None:
        """Give the environment whose episodes the policy will act in.

        Raises:
            ForesightError: it is no simulator of the kind that the policy knows.
        """
