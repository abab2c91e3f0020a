"""How the cost of a decision grows, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write

Rounds = Mapping[tuple[int, int], Sequence[float]]
"""Milliseconds of each round by samples and horizon."""


def scaling(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[int, int], list[float]]:
    """What `planner_speed` measured against samples and horizon: milliseconds of each round."""
    found: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        if row["task"] == "scaling":
            samples = int(row["condition"].removeprefix("samples-"))
            found.setdefault((samples, int(row["horizon"])), []).append(float(row["value"]))
    return found


def straight(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Least-squares line ``y = a + b x``: a, b and the share of the variance that it explains."""
    at, found = np.asarray(x, float), np.asarray(y, float)
    slope, start = np.polyfit(at, found, 1)
    left = np.square(found - (start + slope * at)).sum()
    return float(start), float(slope), float(1 - left / np.square(found - found.mean()).sum())


def scaling_chart(rows: Sequence[Mapping[str, Any]], path: Path | str) -> None:
    """Draw milliseconds against samples and against horizon into a PNG file.

    Points are medians over the rounds, bars reach from the lowest to the highest; the line is the
    straight one that fits the medians best.

    Raises:
        ForesightError: the rows hold no such measurements, or the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rounds = scaling(rows)
    panels = {"samples": _along(rounds, 0), "horizon": _along(rounds, 1)}
    if any(len(panel) < 2 for panel in panels.values()):
        raise ForesightError(
            f"A chart of the planner's cost was asked for with {len(rounds)} sizes measured: run "
            "`foresight bench planner` without --no-scaling."
        )
    figure = Figure(figsize=(8.0, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, panel) in enumerate(panels.items()):
        axes = figure.add_subplot(1, 2, 1 + place)
        x, middle = list(panel), [float(np.median(values)) for values in panel.values()]
        reach = [
            [m - min(values) for m, values in zip(middle, panel.values(), strict=True)],
            [max(values) - m for m, values in zip(middle, panel.values(), strict=True)],
        ]
        start, slope, share = straight(x, middle)
        ends = np.array([0, max(x)])
        axes.plot(ends, start + slope * ends, color="0.6", linewidth=1)
        axes.errorbar(x, middle, reach, fmt="o", markersize=4, capsize=2)
        axes.set_title(f"{start:.0f} + {slope:.3g} × {name} ms, R² {share:.3f}", fontsize=10)
        axes.set(xlabel=name, ylabel="ms a decision", ylim=(0, None))
    atomic_write(Path(path), lambda part: figure.savefig(part, format="png", dpi=150))


def _along(rounds: Rounds, axis: int) -> dict[int, Sequence[float]]:
    """Measurements in which only one of both sizes differs from the sources' (the one shared)."""
    others = [key[1 - axis] for key in rounds]
    shared = max(others, key=others.count) if others else 0
    found = {key[axis]: values for key, values in rounds.items() if key[1 - axis] == shared}
    return dict(sorted(found.items()))
