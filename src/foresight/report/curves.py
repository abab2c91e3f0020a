"""Learning curves: what a reader wants to know of a training, out of all that it logged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.metrics import Row, curve
from foresight.report.plots import FREE_COLOURS, figure_of, plot_style, svg_of

COSTS = ("seconds", "peak", "memory", "lr", "learning-rate", "learning_rate")
"""First words of metrics that say what a training took and not what it learned."""
COUNTS = ("step", "steps", "rounds", "updates", "studies", "epoch", "episodes")
"""Metrics that only count on."""
PRACTICE = ("train", "validation", "held-out", "imagined", "real", "persistence")
"""What a name begins with where it is one of several readings of the same thing."""
BASELINES = {
    "persistence": ("dynamics", "nothing moves"),
    "reward_variance": ("reward", "mean reward"),
    "mean_action": ("loss", "mean action"),
}
"""Held-out errors of what needs no learning: the panel they stand in and their label there."""
STEPS = "steps"
"""Environment steps, where a training acts as it learns; the axis of its curves."""


@dataclass(frozen=True)
class Line:
    """One metric in a panel."""

    metric: str
    panel: str
    label: str

    @property
    def told(self) -> bool:
        """Whether it says how good the agent or the model is, and not how the training went."""
        first, _, rest = self.metric.rpartition("/")
        return rest == "return" or first in PRACTICE[1:]


def reader_metrics(rows: Sequence[Row]) -> list[str]:
    """Names of the metrics that a reader reads, in the order in which they are drawn.

    Returns first, then what was measured on held-out episodes or imagined beside what was real,
    with the training's own number beside it; the other losses last. What a training took in
    seconds, memory or updates is left out.
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [_line(name) for name in names if not _is_cost(name)]
    lines = [line for line in lines if curve(list(rows), line.metric)[0]]
    told = {line.panel for line in lines if line.told}
    lines.sort(key=lambda line: (line.panel != "return", line.panel not in told))
    return [line.metric for line in lines]


def learning_curves(rows: Sequence[Row], names: Sequence[str] | None = None) -> str:
    """A panel for each group of metrics over steps.

    Metrics that differ only in what stands before the last ``/`` (``train/loss`` and
    ``validation/loss``, ``imagined/return`` and ``real/return``) share a panel.

    Args:
        rows: what :func:`foresight.core.metrics.read_metrics` returns.
        names: metrics to draw; `reader_metrics` if left out.

    Returns:
        An ``<svg>`` element.

    Raises:
        ForesightError: nothing of it was logged.
    """
    listed = list(rows)
    wanted = reader_metrics(listed) if names is None else names
    lines = [_line(name) for name in wanted if curve(listed, name)[0]]
    if not lines:
        logged = list(dict.fromkeys(key for row in listed for key in row))
        raise ForesightError(f"No metric to draw: wanted {names or 'any'}, logged are {logged}.")
    panels: dict[str, list[Line]] = {}
    for line in lines:
        panels.setdefault(line.panel, []).append(line)
    columns = min(3, len(panels))
    down = -(-len(panels) // columns)
    with plot_style():
        figure = figure_of(min(9.0, 3.6 * columns + 0.6), 2.5 * down)
        for place, (title, members) in enumerate(panels.items(), start=1):
            _panel(figure.add_subplot(down, columns, place), title, members, listed)
        return svg_of(figure)


def _panel(axes: Any, title: str, lines: Sequence[Line], rows: list[Row]) -> None:
    acting = bool(curve(rows, STEPS)[0])
    plain = "real" if any(line.label == "imagined" for line in lines) else "train"
    for index, line in enumerate(lines):
        steps, values = _points(rows, line.metric, acting)
        marker = "o" if len(steps) == 1 else ""
        colour = FREE_COLOURS[index % len(FREE_COLOURS)]
        label = plain if line.metric == line.panel else line.label
        axes.plot(steps, values, color=colour, marker=marker, label=label)
    axes.set_title(title.replace("_", " "))
    axes.set_xlabel("environment steps" if acting else "step")
    if _spans_decades(axes):
        axes.set_yscale("log")
    if len(lines) > 1:
        axes.legend(fontsize=9)


def _points(rows: list[Row], name: str, acting: bool) -> tuple[list[float], list[float]]:
    """Where a metric was logged, in environment steps where they are known."""
    held = [row for row in rows if row.get(name) is not None]
    axis = STEPS if acting else "step"
    held = [row for row in held if row.get(axis) is not None]
    return [float(row[axis]) for row in held], [float(row[name]) for row in held]


def _line(name: str) -> Line:
    first, _, rest = name.rpartition("/")
    if first == "validation" and rest in BASELINES:
        panel, label = BASELINES[rest]
        return Line(name, panel, label)
    return Line(name, rest, first or name)


def _is_cost(name: str) -> bool:
    """Whether it is a count, or one of its parts begins with a cost's word."""
    parts = name.split("/")
    return name in COUNTS or any(part.startswith(COSTS) for part in parts)


def _spans_decades(axes: Any) -> bool:
    values = [value for line in axes.get_lines() for value in line.get_ydata()]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 30
