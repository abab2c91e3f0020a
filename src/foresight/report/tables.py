"""Tables made from results: for the terminal, for pages and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from foresight.evaluation.results import Result
from foresight.evaluation.statistics import NOTHING, TRIVIAL

INTERVAL_NOTE = (
    "Brackets are 95 % intervals: bootstrap for means, Wilson for rates. Differences are paired by "
    "seed, against the best of zero, random and constant on the same seeds."
)

_STYLES = {"good": "green", "bad": "red", "muted": "dim", "": ""}


@dataclass(frozen=True)
class Cell:
    """Text with a tone: ``good`` or ``bad`` (an interval clear of zero), ``muted``, or none."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Table:
    """A table before it is drawn.

    Attributes:
        title: what it shows.
        columns: headings.
        rows: cells, as many as columns.
        labels: how many leading columns are text; the others are numbers and stand on the right.
        note: a sentence below it.
    grouped: the first column is written once for each group of lines.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    labels: int = 1
    note: str = ""
    grouped: bool = False


def episode_table(result: Result) -> Table:
    """One line for each task and condition: return, success rate, paired difference, time."""
    rows = []
    for task in result.tasks:
        run = [c for c in result.conditions if f"{c}/{task}" in result.summary]
        for place, condition in enumerate(run):
            name = Cell(task if place == 0 else "")
            rows.append([name, *_episode_line(result, task, condition)])
    columns = ("task", "condition", "n", "return", "success", "minus best trivial", "ms / decision")
    title = f"Episodes, protocol {result.protocol}"
    return Table(title, columns, rows, labels=2, note=INTERVAL_NOTE, grouped=True)


def overview_table(result: Result) -> Table:
    """Mean returns, tasks down and conditions across; the best one of each task is marked."""
    rows = []
    for task in result.tasks:
        entries = {c: result.summary.get(f"{c}/{task}") for c in result.conditions}
        found = {c: entry["mean"] for c, entry in entries.items() if entry}
        if not found:
            continue
        best = max(found.values())
        cells = [Cell(task)]
        for entry in entries.values():
            tone = "good" if entry and entry["mean"] == best else ""
            cells.append(Cell(interval(entry), tone) if entry else Cell("–", "muted"))
        rows.append(cells)
    sizes = counts(result.summary[k]["n"] for k in _return_keys(result))
    note = f"Mean return of n = {sizes} episodes with 95 % bootstrap interval."
    return Table(
        f"Returns, protocol {result.protocol}", ("task", *result.conditions), rows, 1, note
    )


def measurement_table(result: Result) -> Table:
    """Everything measured that is not an episode."""
    rows = [
        [Cell(what), Cell(task), Cell(f"{entry['n']:.0f}", "muted"), Cell(interval(entry))]
        for what, task, entry in measurements(result)
    ]
    return Table("Measurements", ("what", "task", "n", "value"), rows, labels=2)


def held_out_table(errors: Mapping[str, Any]) -> Table:
    """Errors of action chunks on held-out episodes: joints down, methods across."""
    methods: Mapping[str, Mapping[str, Any]] = errors["methods"]
    steps = {name: found["steps"] for name, found in methods.items()}
    longest = max((i for i, v in enumerate(steps["policy"]) if v is not None), default=0)
    lines = {"all (σ)": {name: found["mean"] for name, found in methods.items()}}
    for place in dict.fromkeys((0, longest)):
        lines[f"action {place + 1} (σ)"] = {n: found[place] for n, found in steps.items()}
    for joint in methods["policy"]["joints"]:
        lines[joint] = {name: found["joints"][joint] for name, found in methods.items()}
    rows = []
    for label, values in lines.items():
        best = min(values.values())
        tones = {name: "good" if value == best else "" for name, value in values.items()}
        cells = (Cell(number(value), tones[name]) for name, value in values.items())
        rows.append([Cell(label), *cells])
    note = (
        f"Mean absolute error of {errors['windows']} chunks of {len(errors['episodes'])} held-out "
        "episodes; σ: in deviations of the actions, joints in their own units."
    )
    return Table("Held-out actions", ("", *methods), rows, 1, note)


def provenance_table(result: Result) -> Table:
    """Where the numbers come from."""
    simulators = sorted({str(row["simulator"]) for row in result.rows if "simulator" in row})
    revisions = sorted({str(row["git"]) for row in result.rows if "git" in row})
    facts = {
        "command": result.command,
        "created": result.created,
        "git": result.git,
        "rows measured at": ", ".join(r for r in revisions if r != result.git),
        "config hash": result.config_hash,
        "protocol": result.protocol,
        "simulator": ", ".join(simulators),
        "versions": ", ".join(f"{name} {version}" for name, version in result.versions.items()),
    }
    rows = [[Cell(name), Cell(value)] for name, value in facts.items() if value]
    return Table("Provenance", ("", ""), rows, labels=2)


def config_table(result: Result) -> Table:
    """Every setting of the run, nested ones with dots."""
    rows = [[Cell(name), Cell(str(value))] for name, value in _flat(result.config)]
    return Table("Configuration", ("", ""), rows, labels=2)


def print_result(result: Result, console: Console | None = None) -> None:
    """Print the tables of a result that have lines."""
    console = console or Console()
    for table in (episode_table(result), measurement_table(result)):
        if table.rows:
            console.print(to_rich(table))


def print_held_out(errors: Mapping[str, Any], console: Console | None = None) -> None:
    """Print what a policy of action chunks does on held-out episodes."""
    (console or Console()).print(to_rich(held_out_table(errors)))


def to_rich(table: Table) -> RichTable:
    """The table for a terminal."""
    drawn = RichTable(title=table.title, caption=table.note or None, title_justify="left")
    for index, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if index < table.labels else "right")
    for row in table.rows:
        drawn.add_row(*(Text(cell.text, style=_STYLES[cell.tone]) for cell in row))
    return drawn


def to_markdown(table: Table) -> str:
    """The table as Markdown, without its title."""
    rules = ["---" if index < table.labels else "---:" for index in range(len(table.columns))]
    lines = [table.columns, rules, *([cell.text for cell in row] for row in table.rows)]
    text = "\n".join(
        "| " + " | ".join(s.replace("|", "\\|") for s in line) + " |" for line in lines
    )
    return f"{text}\n\n{table.note}\n" if table.note else text + "\n"


def number(value: float) -> str:
    """A number with about three digits that matter."""
    size = abs(value)
    if size < NOTHING:
        return "0.0"
    text = f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"
    return text.replace("-", "−", 1) if value < 0 else text


def interval(entry: Mapping[str, float]) -> str:
    """``12.3 [8.0, 16.1]``; the mean alone where one episode leaves no interval."""
    if entry["n"] < 2:
        return number(entry["mean"])
    return f"{number(entry['mean'])} [{number(entry['low'])}, {number(entry['high'])}]"


def measurements(result: Result) -> Iterator[tuple[str, str, Mapping[str, float]]]:
    """Name, task and summary of everything measured that is not an episode."""
    agents = set(result.conditions)
    for key, entry in result.summary.items():
        what, _, task = key.rpartition("/")
        agent, _, about = what.partition(":")
        while about and agent not in agents:  # names of conditions may hold colons themselves
            more, _, about = about.partition(":")
            agent = f"{agent}:{more}"
        of_episodes = not about or about in ("success", "decision_ms") or about.startswith("minus-")
        if agent not in agents or not of_episodes:
            yield what, task, entry


def counts(sizes: Iterable[float]) -> str:
    """How many there were: a number, or the least and the most."""
    found = sorted({int(size) for size in sizes}) or [0]
    return "–".join(str(n) for n in dict.fromkeys((found[0], found[-1])))


def rate(entry: Mapping[str, float]) -> str:
    """``45 % [28, 63]``."""
    ends = f" [{100 * entry['low']:.0f}, {100 * entry['high']:.0f}]" if entry["n"] > 1 else ""
    return f"{100 * entry['mean']:.0f} %{ends}"


def _episode_line(result: Result, task: str, condition: str) -> list[Cell]:
    summary = result.summary
    entry = summary[f"{condition}/{task}"]
    time = summary.get(f"{condition}:decision_ms/{task}")
    solved = summary.get(f"{condition}:success/{task}")
    tone = "muted" if condition in TRIVIAL else ""
    return [
        Cell(condition, tone),
        Cell(f"{entry['n']:.0f}", "muted"),
        Cell(interval(entry)),
        Cell(rate(solved) if solved else "–"),
        _difference(result, task, condition),
        Cell(number(time["mean"]) if time else "–", "muted"),
    ]


def _difference(result: Result, task: str, condition: str) -> Cell:
    for baseline in TRIVIAL:
        entry = result.summary.get(f"{condition}:minus-{baseline}/{task}")
        if entry:
            better, worse = entry["low"] > NOTHING, entry["high"] < -NOTHING
            clear = entry["n"] > 1 and (better or worse)
            tone = ("good" if better else "bad") if clear else ""
            sign = "+" if entry["mean"] > NOTHING else ""
            return Cell(f"{sign}{interval(entry)} vs {baseline}", tone)
    return Cell("–", "muted")


def _flat(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from _flat(child, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, value


def _return_keys(result: Result) -> list[str]:
    keys = [f"{c}/{t}" for c in result.conditions for t in result.tasks]
    return [key for key in keys if key in result.summary]
