"""What ``track-b`` prints: rows down, horizons across, and the source's own thresholds."""

from __future__ import annotations

from rich.console import Console

from foresight.diagnostics.judge import CENTRED, RAW
from foresight.evaluation.results import Result
from foresight.report.tables import Cell, Table, interval, number, to_rich

THRESHOLDS = {1: 0.85, 10: 0.6}
"""Steps ahead to the cosine that the source calls a success (its day 42)."""
MEASURES = {"skill": "skill", CENTRED: "centred cosine", RAW: "raw cosine"}
TRIVIAL = ("persistence", "mean")


def tracks_of(result: Result) -> list[str]:
    """The tracks that a result holds."""
    start = "hours/data-"
    return [key.removeprefix(start) for key in result.summary if key.startswith(start)]


def tables(result: Result) -> list[Table]:
    """One table for each track and measure, then the source's thresholds."""
    found = []
    for track in tracks_of(result):
        seconds = result.config.get("step_seconds", {}).get(track)
        for measure, title in MEASURES.items():
            rows, horizons = _rows(result, measure, track)
            named = [f"{h} ({h * seconds:.2g} s)" if seconds else str(h) for h in horizons]
            lines = [
                [Cell(row), *(_cell(result, f"{measure}/{row}-{track}@h{h}") for h in horizons)]
                for row in rows
            ]
            found.append(Table(f"{track}: {title}", ("", *named), lines, labels=1))
    return [*found, _thresholds(result)]


def _rows(result: Result, measure: str, track: str) -> tuple[list[str], list[int]]:
    rows: dict[str, None] = {}
    horizons: dict[int, None] = {}
    for key in result.summary:
        told, _, where = key.partition("/")
        name, _, horizon = where.partition(f"-{track}@h")
        if told == measure and horizon.isdigit():
            rows[name], horizons[int(horizon)] = None, None
    return list(rows), sorted(horizons)


def _thresholds(result: Result) -> Table:
    """Who reaches the source's cosines, raw as it means them, and centred."""
    sizes = [key.removeprefix("updates/") for key in result.summary if key.startswith("updates/")]
    lines = []
    for track in tracks_of(result):
        for row in (*sizes, *TRIVIAL):
            cells = []
            for h, least in THRESHOLDS.items():
                for measure in (RAW, CENTRED):
                    entry = result.summary.get(f"{measure}/{row}-{track}@h{h}")
                    told = "–" if entry is None else number(entry["mean"])
                    reached = entry is not None and entry["mean"] >= least
                    cells.append(Cell(f"{told} yes" if reached else told))
            lines.append([Cell(f"{row}, {track}"), *cells])
    titles = [
        "",
        *(f"{m} >= {v} at {h}" for h, v in THRESHOLDS.items() for m in ("raw", "centred")),
    ]
    note = (
        "The source's thresholds: where persistence or the mean feature reaches one, it asks for "
        "nothing."
    )
    return Table("The source's thresholds", tuple(titles), lines, labels=1, note=note)


def _cell(result: Result, key: str) -> Cell:
    entry = result.summary.get(key)
    return Cell("–" if entry is None else interval(entry), "muted" if entry is None else "")


def print_tables(result: Result) -> None:
    """To the terminal."""
    console = Console()
    for table in tables(result):
        console.print(to_rich(table))
