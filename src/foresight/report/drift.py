"""Drift on paper: tables and curves over the horizon, beside the baselines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foresight.core.files import write_text
from foresight.diagnostics.drift import LOOPS
from foresight.evaluation.results import Result
from foresight.report.actions import action_tables
from foresight.report.judge import judge_panels, judge_tables
from foresight.report.page import Plot, Section, TableBlock, write_page
from foresight.report.plots import Entry, horizon_panels, standalone
from foresight.report.tables import Cell, Table, interval, number, provenance_table

MEASURES = {
    "cosine-raw": "cosine",
    "cosine-centred": "centred cosine",
    "l1-raw": "L1",
    "l1-centred": "L1 / L1 of the mean",
}
PLANNED = (("planned-error/h2", "error, m"), ("planned-cosine/h2", "cosine of directions"))
NOTE = (
    "Open loop goes on from its own predictions, closed loop starts from the true features before "
    "every step. Brackets are 95 % bootstrap intervals over clips."
)


def drift_tables(result: Result, brief: bool = False) -> list[Table]:
    """One table for each measure: horizons down, model and baselines across.

    Args:
        result: what ``drift`` measured.
        brief: intervals only for the model, so that a table fits a terminal.
    """
    judged, tables = judge_tables(result, brief), []
    for measure, title in MEASURES.items():
        series = drift_series(result, measure)
        horizons = sorted({h for entries in series.values() for h in entries})
        if not horizons:
            continue  # judged alone
        rows = [
            [Cell(str(h)), *(_cell(name, entries[h], brief) for name, entries in series.items())]
            for h in horizons
        ]
        tables.append(Table(title, ("horizon", *series), rows, labels=1))
    if tables:
        tables[-1] = replace(tables[-1], note=NOTE)
    return judged + tables + action_tables(result, brief) + _planned(result)


def _planned(result: Result) -> list[Table]:
    """Plans against what was done, where that was measured."""
    found = result.summary
    rows = [
        [Cell(text), Cell(interval(found[key])), Cell(interval(found[f"persistence:{key}"]))]
        if f"persistence:{key}" in found
        else [Cell(text), Cell(interval(found[key])), Cell("–")]
        for key, text in PLANNED
        if key in found
    ]
    titles = ("displacement", "planned", "no motion")
    return [Table("Planned against recorded", titles, rows, labels=1)] if rows else []


def imagine_table(result: Result) -> Table:
    """Errors of imagined pictures: horizons down, guesses across."""
    names = ("imagined", "decoded", "persistence", "mean", "shuffled-actions")
    rows = []
    for task in sorted(result.tasks, key=lambda task: int(task[1:])):
        keys = [
            f"picture-error/{task}" if name == "imagined" else f"{name}:picture-error/{task}"
            for name in names
        ]
        cells = [Cell(interval(result.summary[k]) if k in result.summary else "–") for k in keys]
        rows.append([Cell(task[1:]), *cells])
    return Table("Error of pictures, 1: the mean picture", ("horizon", *names), rows, labels=1)


def _cell(name: str, entry: Entry, brief: bool) -> Cell:
    mine = name.endswith("loop")
    text = number(entry["mean"]) if brief and not mine else interval(entry)
    return Cell(text, "" if mine else "muted")


def drift_series(result: Result, measure: str) -> dict[str, dict[int, Entry]]:
    """Curves of one measure: ``open loop``, ``closed loop``, ``persistence`` and ``mean``.

    Persistence is the open-loop one; closed loop it predicts the feature of the step before and
    stands as ``last step``.
    """
    found: dict[str, dict[int, Entry]] = {}
    names = {
        ("open", None): "open loop",
        ("closed", None): "closed loop",
        ("open", "persistence"): "persistence",
        ("closed", "persistence"): "last step",
        ("open", "mean"): "mean",
    }
    tasks = [t for t in result.tasks if t.startswith("h") and t[1:].isdigit()]
    for condition in (None, "persistence", "mean"):
        for loop in LOOPS:
            if (loop, condition) in names:
                before = f"{condition}:" if condition else ""
                keys = {int(t[1:]): f"{before}{measure}-{loop}/{t}" for t in tasks}
                entries: dict[int, Entry] = {
                    h: result.summary[k] for h, k in keys.items() if k in result.summary
                }
                found[names[loop, condition]] = entries
    return found


def drift_plot(result: Result) -> str:
    """The measures as panels of one figure."""
    panels = {title: drift_series(result, m) for m, title in MEASURES.items() if m != "l1-centred"}
    drifts = any(entries for series in panels.values() for entries in series.values())
    return horizon_panels(panels if drifts else judge_panels(result))


def write_drift(result: Result, folder: Path) -> list[Path]:
    """Write ``drift.json``, ``drift.svg`` and the page ``drift.html``; their paths."""
    plot = drift_plot(result)
    paths = [folder / name for name in ("drift.json", "drift.svg", "drift.html")]
    result.save(paths[0])
    write_text(paths[1], standalone(plot))
    tables = [TableBlock(table) for table in drift_tables(result)]
    lead = " ".join(result.config.get("notes", []))
    sections = [
        Section("Horizon", [Plot(plot, NOTE)]),
        Section("Numbers", tables),
        Section("Provenance", [TableBlock(provenance_table(result))]),
    ]
    write_page(paths[2], result.name, sections, lead)
    return paths
