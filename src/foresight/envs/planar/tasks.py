"""The planar tasks: their names, what is to be done, and how long an episode lasts."""

from __future__ import annotations

from dataclasses import dataclass

from foresight.core.errors import ForesightError

TASKS = {
    "tworoom/point": "go to the place in the goal picture",
    "tworoom/doors": "go to the place in the goal picture, wherever the door is",
    "push/puck": "push the puck to its place in the goal picture",
}
"""Full id to what is to be done, in words."""
NAMESPACES = tuple(dict.fromkeys(name.partition("/")[0] + "/" for name in TASKS))


@dataclass(frozen=True)
class Protocol:
    """The length of an episode, named in every result.

    Attributes:
        name: ``first-success`` or ``whole``.
        steps: most decisions of an episode, 10 a second.
        until_success: whether it ends with its first success.
    """

    name: str
    steps: int = 50
    until_success: bool = True


DEFAULT = "first-success"
"""The preset where nobody names one."""

PROTOCOLS = {
    "first-success": Protocol("first-success"),
    # For recordings to learn from: an episode that ends early has few windows.
    "whole": Protocol("whole", steps=100, until_success=False),
}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ForesightError: there is none.
    """
    if name not in PROTOCOLS:
        raise ForesightError(
            f"Unknown protocol {name!r} of a planar task: choose one of {', '.join(PROTOCOLS)}."
        )
    return PROTOCOLS[name]
