"""The probe's table and its bar chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foresight.core.files import atomic_write
from foresight.evaluation.results import Result
from foresight.report.tables import Cell, Table, interval

PREFIXES = ("", "random-weights:", "pixel-pca:", "dinov2:")
_COLOURS = ("#2a6fb0", "#9aa5b1", "#c9a24b", "#6a9f58", "#b0567a", "#7d6bb0", "#4aa3a2")
NOTE = (
    "R² or share of right answers on held-out episodes, of the probe that was best on validation "
    "episodes; brackets are 95 % bootstrap intervals over episodes."
)


def probe_table(result: Result) -> Table:
    """One line for each task and measure, one column for each set of features."""
    prefixes = _prefixes(result)
    rows = []
    for key in probe_keys(result):
        measure, task = key.split("/")
        entries = [result.summary.get(prefix + key) for prefix in prefixes]
        best = max(entry["mean"] for entry in entries if entry)
        cells = [
            Cell(interval(entry), "good" if entry["mean"] == best else "")
            if entry
            else Cell("–", "muted")
            for entry in entries
        ]
        rows.append([Cell(task), Cell(measure), *cells])
    return Table("Probes", ("task", "measure", *_names(result)), rows, labels=2, note=NOTE)


def probe_chart(result: Result, path: Path | str) -> None:
    """Draw the table as bars with intervals into a PNG file.

    Raises:
        ForesightError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    keys, prefixes = probe_keys(result), _prefixes(result)
    figure = Figure(figsize=(8.0, 1.2 + 0.42 * len(keys)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    thick = 0.8 / len(prefixes)
    for place, (prefix, name) in enumerate(zip(prefixes, _names(result), strict=True)):
        found = [
            (i, result.summary[prefix + k])
            for i, k in enumerate(keys)
            if prefix + k in result.summary
        ]
        # A value far below zero says no more than zero does, and would squeeze the others.
        means = [max(entry["mean"], 0.0) for _, entry in found]
        reach = [
            [max(m - max(e["low"], 0.0), 0.0) for m, (_, e) in zip(means, found, strict=True)],
            [max(e["high"] - m, 0.0) for m, (_, e) in zip(means, found, strict=True)],
        ]
        axes.barh(
            [i + place * thick for i, _ in found],
            means,
            thick * 0.92,
            xerr=reach,
            color=_COLOURS[place % len(_COLOURS)],
            error_kw={"lw": 0.8, "ecolor": "#444444"},
            label=name,
        )
    axes.set_yticks([i + 0.4 - thick / 2 for i in range(len(keys))], [_label(k) for k in keys])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("R² or accuracy on held-out episodes")
    axes.grid(axis="x", lw=0.4)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(prefixes), frameon=False, fontsize=9)
    atomic_write(path, lambda temporary: figure.savefig(temporary, format="png", dpi=150))


def probe_keys(result: Result) -> list[str]:
    """``<measure>/<task>`` of everything probed, in the order of the rows."""
    rows = [row for row in result.rows if "target" in row and "condition" not in row]
    return list(dict.fromkeys(f"{row['measure']}/{row['task']}" for row in rows))


def _prefixes(result: Result) -> list[str]:
    keys = probe_keys(result)
    compared = [f"{name}:" for name in result.config.get("encoders", {}) if name]
    wanted = dict.fromkeys([*PREFIXES, *compared])
    return [p for p in wanted if any(p + key in result.summary for key in keys)]


def _names(result: Result) -> Sequence[str]:
    own = Path(str(result.config["encoder"])).name
    return [prefix.rstrip(":") or own for prefix in _prefixes(result)]


def _label(key: str) -> str:
    measure, task = key.split("/")
    return f"{task}  {measure.replace('-', ' ').replace(' r2', '')}"
