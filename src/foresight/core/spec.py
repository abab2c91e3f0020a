"""What a robot sees, feels and does: the one description of an environment, dataset or model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from foresight.core.errors import ForesightError

TOLERANCE = 1e-4
"""Relative difference below which two bounds or frame rates are the same."""


@dataclass(frozen=True)
class Axis:
    """One number of a state or an action.

    Attributes:
        name: for example ``shoulder_pan.pos``; never empty.
        unit: for example ``rad``, or None where nobody said.
        low, high: bounds of an action; infinite where there are none.
    """

    name: str
    unit: str | None = None
    low: float = -float("inf")
    high: float = float("inf")

    def __post_init__(self) -> None:
        if not self.name:
            raise ForesightError("A number of a state or an action has an empty name: give it one.")
        if not self.low <= self.high:
            raise ForesightError(
                f"{self.name} has the bounds {self.low} and {self.high}: give a lower one first."
            )


@dataclass(frozen=True)
class Spec:
    """Cameras, state, action and rate; read off an environment, a dataset or a checkpoint.

    Attributes:
        cameras: name to (height, width) in pixels, in the order in which they are read.
        state: the numbers of ``Observation.state``, in order.
        action: the numbers of an action, in order.
        fps: decisions for each second.
        tasks: texts of the tasks, for those who are told what to do.
    """

    cameras: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    state: tuple[Axis, ...] = ()
    action: tuple[Axis, ...] = ()
    fps: float = 1.0
    tasks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 < self.fps < float("inf"):
            raise ForesightError(f"A rate of {self.fps} decisions a second is none: give more.")
        for name, (height, width) in self.cameras.items():
            if height < 1 or width < 1:
                raise ForesightError(
                    f"Camera {name!r} has {height}x{width} pixels: it needs one at least."
                )

    @property
    def low(self) -> Float32[np.ndarray, " A"]:
        """Lower bounds of an action."""
        return np.array([axis.low for axis in self.action], np.float32)

    @property
    def high(self) -> Float32[np.ndarray, " A"]:
        """Upper bounds of an action."""
        return np.array([axis.high for axis in self.action], np.float32)

    def difference(self, other: Spec, parts: Iterable[str] | None = None) -> str | None:
        """The first difference, as words that follow "the one ..., the other ...", or None.

        Args:
            other: compared with this one.
            parts: any of ``cameras``, ``state``, ``action``, ``fps``; all of them if not given.
                Task texts are never compared: a robot that learned one task may try another.
        """
        checks = {
            "cameras": self._camera_difference,
            "action": lambda o: _axes_difference("action", self.action, o.action),
            "state": lambda o: _axes_difference("state", self.state, o.state),
            "fps": self._rate_difference,
        }
        wanted = set(checks) if parts is None else set(parts)
        found = (check(other) for name, check in checks.items() if name in wanted)
        return next((words for words in found if words is not None), None)

    def expect(
        self, other: Spec, mine: str, theirs: str, parts: Iterable[str] | None = None
    ) -> None:
        """Refuse a spec that differs.

        Args:
            other: what was met.
            mine: what this is the spec of, for the sentence: ``the model runs/a``.
            theirs: what the other is of.
            parts: as in :meth:`difference`.

        Raises:
            ForesightError: one sentence that names the first difference.
        """
        words = self.difference(other, parts)
        if words is not None:
            raise ForesightError(f"{mine} and {theirs} do not fit: {words}.")

    def to_json(self) -> dict[str, Any]:
        """Plain values; infinite bounds become null."""
        return {
            "cameras": {name: list(size) for name, size in self.cameras.items()},
            "state": [_axis_json(axis) for axis in self.state],
            "action": [_axis_json(axis) for axis in self.action],
            "fps": self.fps,
            "tasks": list(self.tasks),
        }

    @classmethod
    def from_json(cls, raw: Any) -> Spec:
        """Read what :meth:`to_json` wrote.

        Raises:
            ForesightError: it is something else.
        """
        try:
            return cls(
                cameras={str(k): (int(v[0]), int(v[1])) for k, v in raw["cameras"].items()},
                state=tuple(_axis_from(axis) for axis in raw["state"]),
                action=tuple(_axis_from(axis) for axis in raw["action"]),
                fps=float(raw["fps"]),
                tasks=tuple(map(str, raw["tasks"])),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise ForesightError(
                f"{raw!r:.80} is no description of a robot ({error}): expected cameras, state, "
                "action, fps and tasks."
            ) from error

    def _camera_difference(self, other: Spec) -> str | None:
        if tuple(self.cameras) != tuple(other.cameras):
            return (
                f"the one has the cameras {_listed(self.cameras)}, the other "
                f"{_listed(other.cameras)}"
            )
        for name, size in self.cameras.items():
            theirs = other.cameras[name]
            if tuple(size) != tuple(theirs):
                return (
                    f"camera {name!r} has {size[0]}x{size[1]} pixels in the one and "
                    f"{theirs[0]}x{theirs[1]} in the other"
                )
        return None

    def _rate_difference(self, other: Spec) -> str | None:
        if abs(self.fps - other.fps) <= TOLERANCE * max(self.fps, other.fps):
            return None
        return f"the one decides {self.fps:g} times a second, the other {other.fps:g} times"


def numbered_axes(
    prefix: str,
    count: int,
    low: Iterable[float] | None = None,
    high: Iterable[float] | None = None,
) -> tuple[Axis, ...]:
    """Axes ``prefix_0``, ``prefix_1``, ... of numbers that nobody has named."""
    lows = [-float("inf")] * count if low is None else [float(v) for v in low]
    highs = [float("inf")] * count if high is None else [float(v) for v in high]
    return tuple(Axis(f"{prefix}_{i}", None, lows[i], highs[i]) for i in range(count))


def _axes_difference(what: str, mine: tuple[Axis, ...], theirs: tuple[Axis, ...]) -> str | None:
    if len(mine) != len(theirs):
        return f"the one has {len(mine)} numbers of {what}, the other {len(theirs)}"
    for index, (a, b) in enumerate(zip(mine, theirs, strict=True)):
        if a.name != b.name:
            return (
                f"number {index} of the {what} is {a.name!r} in the one and {b.name!r} in the other"
            )
        if a.unit is not None and b.unit is not None and a.unit != b.unit:
            return f"{what} {a.name!r} is in {a.unit} in the one and in {b.unit} in the other"
        if not (_same(a.low, b.low) and _same(a.high, b.high)):
            return (
                f"{what} {a.name!r} goes from {a.low:g} to {a.high:g} in the one and from "
                f"{b.low:g} to {b.high:g} in the other"
            )
    return None


def _same(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _axis_json(axis: Axis) -> dict[str, Any]:
    low, high = (bound if np.isfinite(bound) else None for bound in (axis.low, axis.high))
    return {"name": axis.name, "unit": axis.unit, "low": low, "high": high}


def _axis_from(raw: Any) -> Axis:
    low = -float("inf") if raw["low"] is None else float(raw["low"])
    high = float("inf") if raw["high"] is None else float(raw["high"])
    return Axis(str(raw["name"]), raw["unit"], low, high)
