"""All results of a folder as one Markdown page, for the folder itself and for the README."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.files import write_text
from foresight.evaluation.results import Result, load
from foresight.evaluation.statistics import summarise
from foresight.report.probes import probe_table
from foresight.report.tables import (
    Cell,
    Table,
    counts,
    episode_table,
    interval,
    measurement_table,
    measurements,
    overview_table,
    to_markdown,
)
from studies.speed import speed_table

PROBES = "probes"
SPEED = "encoder-speed"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def results_page(folder: Path) -> str:
    """Every result file of ``folder`` with its tables and its command.

    Raises:
        ForesightError: a file there is no valid result, or there is none.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise ForesightError(f"{folder} holds no result files: run `foresight reproduce` first.")
    parts = ["# Results\n", "Made by `foresight report results`; do not edit by hand.\n"]
    parts += [_section(load(path), path.name) for path in paths]
    return "\n".join(parts)


def headline(result: Result) -> str:
    """The one table that a result is about."""
    if result.name == PROBES:
        return to_markdown(probe_table(result))
    if result.name == SPEED:
        return to_markdown(speed_table(result))
    if len(result.tasks) > 1 and result.conditions:
        table = overview_table(result)
        broad = len(result.conditions) > 2 * len(result.tasks)
        return to_markdown(turned(table) if broad else table)
    if result.conditions:
        return to_markdown(episode_table(result))
    return to_markdown(_measured(result))


def _measured(result: Result) -> Table:
    """What was measured, with tasks across where most of it was measured in several."""
    table, across = measurement_table(result), measurements_by_task(result)
    return across if 2 * len(across.rows) <= len(table.rows) else table


def measurements_by_task(result: Result) -> Table:
    """The same with tasks across, which takes a line for each thing measured."""
    found: dict[str, dict[str, Mapping[str, float]]] = {}
    for what, task, entry in measurements(result):
        found.setdefault(what, {})[task] = entry
    measured = dict.fromkeys(task for entries in found.values() for task in entries)
    tasks = [task for task in dict.fromkeys((*result.tasks, *measured)) if task in measured]
    rows = [
        [
            Cell(what),
            Cell(counts(entry["n"] for entry in entries.values()), "muted"),
            *(
                Cell(interval(entries[task])) if task in entries else Cell("–", "muted")
                for task in tasks
            ),
        ]
        for what, entries in found.items()
    ]
    return Table("Measurements", ("what", "n", *tasks), rows, labels=1)


def turned(table: Table) -> Table:
    """Lines as columns; for a table with one column of labels."""
    names = [row[0].text for row in table.rows]
    rows = [
        [Cell(column), *(row[place] for row in table.rows)]
        for place, column in enumerate(table.columns[1:], 1)
    ]
    return replace(table, columns=("", *names), rows=rows)


def write_results(folder: Path, readme: Path | None = None) -> list[Path]:
    """Write ``README.md`` into the folder, and the baselines' table into a README with markers.

    Raises:
        ForesightError: see :func:`results_page`; or the README lacks the markers.
    """
    page = folder / "README.md"
    write_text(page, results_page(folder))
    if readme is None:
        return [page]
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ForesightError(
            f"{readme} lacks the line {BEGIN} or {END}: put both where the results shall stand."
        )
    block = f"{BEGIN}\n{readme_block(folder)}\n{END}"
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    replaced = re.sub(pattern, lambda _: block, text, count=1, flags=re.DOTALL)
    write_text(readme, replaced)
    return [page, readme]


def readme_block(folder: Path) -> str:
    """What the README shows of the results: the agents that learn by acting."""
    name = folder / "planning.json"
    if not name.exists():
        return ""
    words = "`foresight learn`, agents that see pixels and imagine before they act:"
    return f"{words}\n\n{headline(load(name))}".rstrip()


def _last_steps(result: Result) -> Result:
    """A training's record with the last row of each curve alone."""
    last = list({(row["measure"], row.get("task")): row for row in result.rows}.values())
    return replace(result, rows=last, summary=summarise(last))


def _section(result: Result, name: str) -> str:
    lines = [f"## {name}\n", f"`{result.command}` at `{result.git[:12]}`, {result.created[:10]}.\n"]
    if result.conditions:
        lines.append(headline(result))
    if result.name == PROBES:
        return "\n".join([*lines, headline(result)])  # single quantities stand in the file
    if any("step" in row for row in result.rows):
        lines.append("Where the curves end:\n")
        result = _last_steps(result)
    measured = _measured(result)
    if measured.rows:
        lines.append(to_markdown(measured))
    source = result.config.get("source")
    if isinstance(source, dict):  # figures of others; of a drift measurement it is the clip
        figures = ", ".join(f"{what} {value:g}" for what, value in source.items())
        lines.append(f"To compare with: {figures}.\n")
        key = f"{result.config.get('headline')}/{result.tasks[0]}"
        if key in result.summary:
            lines.append(f"Ours: {interval(result.summary[key])}.\n")
    return "\n".join(lines)
