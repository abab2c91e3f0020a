"""What the field reports in the protocol of 1,000 steps, and our curves beside it as one table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

Point = tuple[int, float]
"""Environment frames, return."""

_METHODS = (
    ("TD-MPC2", "state", 1_000_000),
    ("TD-MPC2", "pixels", 500_000),
    ("TD-MPC2", "pixels", 1_000_000),
    ("DreamerV3", "pixels", 500_000),
    ("DreamerV3", "pixels", 1_000_000),
    ("DrQ-v2", "pixels", 1_000_000),
    ("SAC", "state", 1_000_000),
    ("PPO", "pixels", 1_000_000),
)
_RETURNS: dict[str, tuple[float | None, ...]] = {
    "reacher-easy": (983, 918, 982, 832, 953, 939, 914, 508),
    "cartpole-swingup": (876, None, None, 840, 860, 863, 839, 292),
    "walker-walk": (980, 949, 940, 940, 960, 765, 957, 84),
    "cheetah-run": (844, 455, 537, 655, 832, 714, 730, 93),
    "finger-spin": (986, 983, 985, 573, 588, 861, 878, 111),
    "hopper-hop": (338, None, None, None, 224, 215, 70, 0),
    "cup-catch": (986, None, None, 967, 973, 935, 978, 811),
}
FIELD: dict[str, dict[tuple[str, str, int], float]] = {
    task: {
        method: value for method, value in zip(_METHODS, values, strict=True) if value is not None
    }
    for task, values in _RETURNS.items()
}
"""Published returns: (method, input, environment frames), by task."""


def table(ours: Mapping[str, Mapping[str, Sequence[Point]]], tasks: Iterable[str]) -> str:
    """Our curves and the field's figures as CSV: method, input, task, frames, return.

    Args:
        ours: points of each of our methods, by task.
        tasks: in their order.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["method", "input", "task", "frames", "return"])
    for task in tasks:
        for method, points in ours.get(task, {}).items():
            rows.writerows(
                [method, "pixels", task, frames, round(value, 2)] for frames, value in points
            )
        for (method, sees, frames), value in FIELD.get(task, {}).items():
            rows.writerow([method, sees, task, frames, value])
    return text.getvalue()
