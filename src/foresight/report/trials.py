"""The page of all trials of a policy, beside itself blind and with its cameras exchanged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foresight.evaluation.results import Result
from foresight.evaluation.statistics import NOTHING, Row
from foresight.report.page import Block, LinkedVideo, Section, TableBlock, write_page
from foresight.report.tables import Cell, Table, interval, number, provenance_table, rate

NOTE = (
    "All conditions have the same starts. Brackets are 95 % intervals: Wilson for rates, bootstrap "
    "for means; differences are paired by seed. Blind: visual tokens are zero. Shuffled: each "
    "camera has the tokens of the next."
)


def trials_table(result: Result) -> Table:
    """One line for each condition: successes, rate, what the policy gains on it, return, length."""
    rows, summary = [], result.summary
    by = outcomes(result)
    for condition in result.conditions:
        (task,) = result.tasks
        solved = summary.get(f"{condition}:success/{task}")
        trials = by[condition]
        alone = _alone(by["policy"], trials) if solved and condition != "policy" else ("–", "–")
        steps = sum(row["length"] for row in trials.values()) / len(trials)
        rows.append(
            [
                Cell(condition),
                Cell(str(len(trials)), "muted"),
                Cell(rate(solved) if solved else "–"),
                _lost(summary.get(f"{condition}:success-lost/{task}")),
                *(Cell(text) for text in alone),
                Cell(interval(summary[f"{condition}/{task}"])),
                Cell(number(steps), "muted"),
            ]
        )
    columns = (
        "condition", "n", "success", "policy minus it, points", "only policy", "only it", "return",
        "steps",
    )  # fmt: skip
    return Table("Success", columns, rows, note=NOTE)


def outcomes(result: Result) -> dict[str, dict[int, Row]]:
    """Condition to seed to row."""
    found: dict[str, dict[int, Row]] = {}
    for row in result.rows:
        found.setdefault(row["condition"], {})[row["seed"]] = row
    return found


def failures_first(rows: Sequence[Row]) -> list[Row]:
    """Failed trials before solved ones, longest first; by return, lowest first, if nobody tells.

    A success that took long is next to a failure.
    """

    def key(row: Row) -> tuple[bool, float, int]:
        told = "success" in row
        return row.get("success", False), -row["length"] if told else row["return"], row["seed"]

    return sorted(rows, key=key)


def write_trials_page(path: Path, result: Result) -> None:
    """Write the page; its films lie in ``films/`` beside it."""
    by = outcomes(result)
    sections = [Section("Success", [TableBlock(trials_table(result))])]
    for mine in failures_first(list(by["policy"].values())):
        seed = mine["seed"]
        films: list[Block] = [
            LinkedVideo(f"films/{condition}-{seed}.mp4", f"{condition}: {_told(trials[seed])}")
            for condition, trials in by.items()
        ]
        sections.append(Section(f"Seed {seed}: {_told(mine)}", films))
    sections.append(Section("Provenance", [TableBlock(provenance_table(result))]))
    lead = f"{', '.join(result.tasks)}, protocol {result.protocol}; failures first, then by length."
    write_page(path, "All trials", sections, lead)


def _told(row: Row) -> str:
    outcome = {True: "solved", False: "failed", None: "ended"}[row.get("success")]
    return f"{outcome} after {row['length']} steps, return {number(row['return'])}"


def _alone(mine: dict[int, Row], theirs: dict[int, Row]) -> tuple[str, str]:
    """Starts that only one of the two solved."""
    pairs = [(mine[s].get("success"), theirs[s].get("success")) for s in mine if s in theirs]
    return str(pairs.count((True, False))), str(pairs.count((False, True)))


def _lost(entry: dict[str, float] | None) -> Cell:
    if entry is None:
        return Cell("–", "muted")
    text = f"{100 * entry['mean']:+.0f} [{100 * entry['low']:+.0f}, {100 * entry['high']:+.0f}]"
    clear = entry["n"] > 1 and entry["low"] > NOTHING
    worse = entry["n"] > 1 and entry["high"] < -NOTHING
    return Cell(text.replace("-", "−"), "good" if clear else "bad" if worse else "")
