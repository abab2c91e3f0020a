"""A model beside what needs none: the judge's tables and curves."""

from __future__ import annotations

from collections.abc import Sequence

from foresight.diagnostics.judge import (
    CENTRED,
    L1,
    LINEAR,
    MODEL,
    NONE,
    RAW,
    SHUFFLED,
    SKILL,
)
from foresight.evaluation.results import Result
from foresight.evaluation.statistics import Summary
from foresight.report.plots import Entry
from foresight.report.tables import Cell, Table, interval, number

TITLES = {
    SKILL: "Skill: share of persistence's error that is removed",
    CENTRED: "Centred cosine",
    RAW: "Raw cosine",
    L1: "L1",
}
NOTE = (
    "Skill is 1 - (1 - cos) / (1 - cos of persistence) on features centred by the mean of other "
    "episodes: 0 is no better than predicting no change, 1 is perfect. Brackets are 95 % bootstrap "
    "intervals over held-out episodes."
)


def judge_tables(result: Result, brief: bool = False) -> list[Table]:
    """Conditions down, horizons across, one table for each measure; none where nothing was judged.

    Args:
        result: of ``drift``.
        brief: intervals only for the model, so that a table fits a terminal.
    """
    found, tables = result.summary, []
    horizons = judged_horizons(result)
    seconds = float(result.config.get("step_seconds", 0.0))
    titles = ("", *(f"{h} ({h * seconds:.2g} s)" if seconds else str(h) for h in horizons))
    for measure, title in TITLES.items() if horizons else ():
        rows = []
        for condition in _conditions(found, measure):
            before = "" if condition == MODEL else f"{condition}:"
            cells = [
                _cell(found.get(f"{before}{measure}/h{h}"), condition, brief) for h in horizons
            ]
            rows.append([Cell(condition), *cells])
        tables.append(Table(title, titles, rows, labels=1, note=NOTE if measure == SKILL else ""))
    rows = [
        [
            Cell(f"minus {name}"),
            *(_cell(found.get(f"minus-{name}/h{h}"), MODEL, False) for h in horizons),
        ]
        for name in (LINEAR, SHUFFLED, NONE)
        if any(f"minus-{name}/h{h}" in found for h in horizons)
    ]
    if rows:
        tables.append(Table("Centred cosine of the model, in pairs", titles, rows, labels=1))
    return tables


def judged_horizons(result: Result) -> list[int]:
    """Steps ahead that were judged."""
    start = f"{SKILL}/h"
    return sorted(int(key.removeprefix(start)) for key in result.summary if key.startswith(start))


def judge_panels(result: Result) -> dict[str, dict[str, dict[int, Entry]]]:
    """Skill and centred cosine over the horizon, as panels of one figure."""
    found, horizons = result.summary, judged_horizons(result)
    panels: dict[str, dict[str, dict[int, Entry]]] = {}
    shared = [name for name in _conditions(found, CENTRED) if name != "mean"]
    for measure, title in ((SKILL, "skill"), (CENTRED, "centred cosine")):
        panels[title] = {}
        for condition in shared:
            before = "" if condition == MODEL else f"{condition}:"
            keys = {h: f"{before}{measure}/h{h}" for h in horizons}
            panels[title][condition] = {h: found[key] for h, key in keys.items() if key in found}
    return panels


def _conditions(found: Summary, measure: str) -> Sequence[str]:
    """Who has numbers of a measure, the model first."""
    names = []
    for key in found:
        what = key.partition("/")[0]
        condition, _, told = what.rpartition(":")
        if told == measure:
            names.append(condition or MODEL)
    return sorted(dict.fromkeys(names), key=lambda name: name != MODEL)


def _cell(entry: Entry | None, condition: str, brief: bool) -> Cell:
    if entry is None:
        return Cell("–", "muted")
    mine = condition == MODEL
    text = number(entry["mean"]) if brief and not mine else interval(entry)
    return Cell(text, "" if mine else "muted")
