"""Policies by name: ``zero``, ``ar1:0.9``, ``eps:0.3:expert``, and what other rooms add."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.core.spec import Spec


class MakePolicy(Protocol):
    """Makes a policy in whatever process it is to act in; picklable, best a frozen dataclass."""

    def __call__(self, spec: Spec, /) -> Policy:
        """The policy for a robot of this spec.

        Raises:
            ForesightError: the policy does not fit the robot.
        """
        ...


Named = Callable[[str, Spec, str | None], Policy]
"""The whole name, the robot's spec, the environment's id where there is one: to a policy."""

_KINDS: dict[str, tuple[Named, str]] = {}


def register_policy(kind: str, make: Named, example: str | None = None) -> None:
    """Let :func:`make_policy` know a kind of policies.

    Args:
        kind: what stands before the first colon of a name.
        make: given the whole name, a spec and an environment's id.
        example: a whole name, for the sentence that lists them; the kind if not given.
    """
    _KINDS[kind] = (make, example or kind)


def make_policy(name: str, spec: Spec, env_id: str | None = None) -> Policy:
    """The policy of a name.

    Args:
        name: ``zero``; ``random``; ``ar1:0.9`` or ``ar1:0.8:clip``; ``constant:0.5`` or
            ``constant:0.1,-0.3``; ``eps:0.3:NAME``; ``expert`` and ``oracle`` where a
            simulator's task has them; ``noisy:0.6:NAME`` or ``noisy:0.6,120:NAME``; ``switch:0.1``;
            ``replay:DATASET``, with ``:random`` or an episode's number behind it if not the
            nearest is meant; and whatever was registered.
        spec: of the robot that it is to act for.
        env_id: of its environment; experts are made for one task.

    Raises:
        ForesightError: an unknown name, or one that does not fit the robot or the environment.
    """
    kind = str(name).partition(":")[0]
    if kind not in _KINDS:
        listed = ", ".join(example for _, example in _KINDS.values())
        raise ForesightError(f"Unknown policy {name!r}: choose one of {listed}.")
    return _KINDS[kind][0](str(name), spec, env_id)


@dataclass(frozen=True)
class NamedPolicy:
    """Makes the policy of a name; picklable."""

    name: str
    env_id: str | None = None

    def __call__(self, spec: Spec) -> Policy:
        """As :func:`make_policy`."""
        return make_policy(self.name, spec, self.env_id)
