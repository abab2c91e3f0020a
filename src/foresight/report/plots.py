"""Plots as SVG for pages: text stays text, colours follow the page's light or dark theme."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib import resources
from typing import TYPE_CHECKING, Any

from foresight.evaluation.results import Result
from foresight.evaluation.statistics import measure_key

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours are written as stand-ins that become CSS variables of the page (style.css names them).
_INK, _MUTED, _GRID = "#010101", "#010102", "#010103"
INK = _INK
"""Colour of text, dark or light with the page."""
_SERIES = [f"#0200{index:02x}" for index in range(1, 9)]
_GREYS = [f"#0300{index:02x}" for index in range(1, 4)]
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--line"}
_VARIABLES |= {colour: f"--series-{index}" for index, colour in enumerate(_SERIES, 1)}
_VARIABLES |= {colour: f"--grey-{index}" for index, colour in enumerate(_GREYS, 1)}

# What needs no skill is grey, so that the eye goes to what does.
_FIXED = {
    "zero": _GREYS[0],
    "random": _GREYS[1],
    "constant": _GREYS[2],
    "persistence": _GREYS[2],
    "last step": _GREYS[1],
    "mean": _GREYS[0],
    "oracle": _SERIES[2],
    "expert": _SERIES[1],
}
FREE_COLOURS = [_SERIES[0], _SERIES[7], _SERIES[4], _SERIES[6], _SERIES[3], _SERIES[5]]

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "lines.linewidth": 1.8,
}

Entry = Mapping[str, float]


def error_per_horizon(
    series: Mapping[str, Mapping[int, Entry]], ylabel: str = "prediction error"
) -> str:
    """Error of imagined futures by horizon, for the model and for persistence.

    Args:
        series: for example ``{"model": {1: entry, 2: entry}, "persistence": {...}}``, entries
            with ``mean``, ``low`` and ``high``; :func:`horizon_series` reads them from a result.
        ylabel: what the error is.
    """
    with plot_style():
        figure = figure_of(6.4, 3.2)
        axes = figure.add_subplot()
        _draw_horizons(axes, series)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("horizon (steps ahead)")
        axes.set_ylabel(ylabel)
        axes.legend(loc="upper left")
        return svg_of(figure)


def horizon_panels(panels: Mapping[str, Mapping[str, Mapping[int, Entry]]]) -> str:
    """Curves over the horizon, one panel each, with intervals.

    Args:
        panels: label of the upright axis to series as :func:`error_per_horizon` takes them; the
            same series in every panel, for one legend.
    """
    with plot_style():
        figure = figure_of(3.4 * len(panels), 3.0)
        for place, (label, series) in enumerate(panels.items(), start=1):
            axes = figure.add_subplot(1, len(panels), place)
            _draw_horizons(axes, series)
            axes.set_title(label)
            axes.set_xlabel("horizon (steps)")
            if place == 1:
                handles, names = axes.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=len(names))
        return svg_of(figure)


def _draw_horizons(axes: Any, series: Mapping[str, Mapping[int, Entry]]) -> None:
    colours = condition_colours(list(series))
    for name, entries in series.items():
        steps, colour = sorted(entries), colours[name]
        mean, low, high = ([entries[h][end] for h in steps] for end in ("mean", "low", "high"))
        axes.plot(steps, mean, "o-", ms=4, color=colour, label=name)
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, lw=0)
    _whole_ticks(axes)


def standalone(svg: str) -> str:
    """A plot as a file of its own: the page's colours go with it, light and dark."""
    css = resources.files("foresight.report").joinpath("style.css").read_text("utf-8")
    colours = css[: css.index("* {")] + "svg { background: var(--page); }"
    head = svg.index(">") + 1
    return f"{svg[:head]}<style>{colours}</style>{svg[head:]}\n"


def horizon_series(result: Result, measure: str, task: str) -> dict[str, dict[int, Entry]]:
    """Curves for :func:`error_per_horizon` from measurement rows that carry a ``horizon``."""
    found: dict[str, dict[int, Entry]] = {}
    for row in result.rows:
        mine = row.get("measure") == measure and (row.get("task") or "all") == task
        if mine and row.get("horizon") is not None:
            condition = row.get("condition") or "model"
            found.setdefault(condition, {})[row["horizon"]] = result.summary[measure_key(row)]
    return found


def return_bars(result: Result) -> str:
    """Mean returns with 95 % intervals: lying bars for one task, groups for several."""
    tasks = list(dict.fromkeys(row["task"] for row in result.rows if "return" in row))
    with plot_style():
        if len(tasks) == 1:
            return svg_of(_lying_bars(result, tasks[0]))
        return svg_of(_grouped_bars(result, tasks))


def condition_colours(conditions: Sequence[str]) -> dict[str, str]:
    """The stand-in colour of each condition: fixed for baselines, in order for the others."""
    free = [name for name in conditions if name not in _FIXED]
    colours = {name: FREE_COLOURS[index % len(FREE_COLOURS)] for index, name in enumerate(free)}
    return {name: _FIXED.get(name) or colours[name] for name in conditions}


def _lying_bars(result: Result, task: str) -> Figure:
    names = [c for c in result.conditions if f"{c}/{task}" in result.summary]
    colours = condition_colours(result.conditions)
    figure = figure_of(7.2, 0.5 + 0.38 * len(names))
    axes = figure.add_subplot()
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    for place, name in enumerate(names):
        entry = result.summary[f"{name}/{task}"]
        axes.barh(place, entry["mean"], height=0.62, color=colours[name])
        axes.plot([entry["low"], entry["high"]], [place, place], color=_INK, lw=1.2)
        right = max(entry["high"], entry["mean"], 0)
        axes.annotate(
            f"{entry['mean']:.1f}",
            (right, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", colors=_INK)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(f"return on {task}")
    return figure


def _grouped_bars(result: Result, tasks: Sequence[str]) -> Figure:
    names = result.conditions
    colours = condition_colours(names)
    width = 0.8 / max(1, len(names))
    figure = figure_of(9.6, 3.6)
    axes = figure.add_subplot()
    for index, name in enumerate(names):
        entries = [(i, result.summary.get(f"{name}/{task}")) for i, task in enumerate(tasks)]
        places = [i + (index + 0.5) * width - 0.4 for i, entry in entries if entry]
        known = [entry for _, entry in entries if entry]
        means = [entry["mean"] for entry in known]
        axes.bar(places, means, width=0.88 * width, color=colours[name], label=name)
        for place, entry in zip(places, known, strict=True):
            axes.plot([place, place], [entry["low"], entry["high"]], color=_INK, lw=1)
    axes.set_xticks(range(len(tasks)), [task.replace("-", "\n", 1) for task in tasks])
    axes.tick_params(axis="x", colors=_INK)
    axes.set_ylabel("return")
    figure.legend(loc="outside upper left", ncols=8)
    return figure


def _whole_ticks(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def plot_style(changes: dict[Any, Any] | None = None) -> AbstractContextManager[None]:
    """Within it, plots look like the page. Matplotlib is slow to import: only who draws does."""
    import matplotlib

    return matplotlib.rc_context(_STYLE if changes is None else changes)


def figure_of(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)  # no pyplot: nothing global, no display
    return figure


def svg_of(figure: Figure) -> str:
    """The figure as an ``<svg>`` element to stand in a page."""
    buffer = io.StringIO()
    # The salt keeps ids the same from run to run; without a date the file is, too.
    with plot_style({"svg.hashsalt": "foresight"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Its rule for `*` would reach the whole page; the size becomes the page's business.
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'(width|height)="[\d.]+pt" ?', "", text, count=2)
    width = 72 * figure.get_figwidth()
    text = text.replace("<svg", f'<svg role="img" style="width:{width:.0f}pt"', 1)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    return text
