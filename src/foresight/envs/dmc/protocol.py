"""Presets of the dm_control tasks: how long an episode lasts and how often an agent decides."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class Protocol:
    """The length of an episode, named in every result.

    Attributes:
        name: ``seed200`` or ``dmc1000``.
        steps: control steps of an episode.
        repeat: control steps for which one action is held.
    """

    name: str
    steps: int
    repeat: int

    @property
    def decisions(self) -> int:
        """Actions an agent chooses in one episode."""
        return -(-self.steps // self.repeat)  # the last one may be held for less


PROTOCOLS = {
    "seed200": Protocol("seed200", steps=200, repeat=1),
    "dmc1000": Protocol("dmc1000", steps=1000, repeat=2),
}

DEFAULT = "seed200"
"""The preset where nobody names one."""


def get_protocol(protocol: str | Protocol) -> Protocol:
    """The protocol of that name.

    Raises:
        ForesightError: there is none.
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise ForesightError(
            f"Unknown protocol {protocol!r}: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[protocol]
