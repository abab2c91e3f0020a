"""What a model knows of actions, as tables."""

from __future__ import annotations

from foresight.diagnostics.actions import DRAWN, OTHERS, SHUFFLED
from foresight.evaluation.results import Result
from foresight.report.tables import Cell, Table, interval, number

KNOWN = (
    "Skill: share of persistence's error that is removed, under the demonstrated and under another "
    "episode's actions. Rank of the demonstrated actions among sampled ones, 0: best, .5: chance; "
    "drawn: steps drawn from all that was done, others: what other episodes of the task did then. "
    "Brackets are 95 % bootstrap intervals over episodes."
)
EACH = {
    "sensitivity": (
        "Sensitivity to each number of an action",
        "How far the prediction moves where one number is exchanged for another episode's, 1: as "
        "far as the truth has moved.",
    ),
    "importance": (
        "Importance of each number of an action",
        "Growth of the error where one number is exchanged for another episode's, 0: it tells the "
        "model nothing that is right.",
    ),
}
COLUMNS = {
    "skill": "skill",
    f"{SHUFFLED}:skill": "shuffled actions",
    f"{DRAWN}:action-rank": "rank, drawn",
    f"{OTHERS}:action-rank": "rank, others",
    f"{DRAWN}:action-top1": "first, drawn (chance)",
    f"{OTHERS}:action-top1": "first, others (chance)",
}


def action_tables(result: Result, brief: bool = False) -> list[Table]:
    """Horizons down; then each number of an action down, horizons across.

    Args:
        result: of ``drift``; without actions there are no tables.
        brief: intervals only for skill and rank, so that a table fits a terminal.
    """
    found = result.summary
    tasks = sorted(
        {str(r["task"]) for r in result.rows if r.get("measure") == "action-rank"},
        key=lambda task: int(task[1:]),
    )
    if not tasks:
        return []
    columns = [key for key in COLUMNS if any(f"{key}/{task}" in found for task in tasks)]
    rows = []
    for task in tasks:
        cells = [_cell(result, key, task, brief) for key in columns]
        rows.append([Cell(task[1:]), *cells])
    titles = ("horizon", *(COLUMNS[key] for key in columns))
    return [
        Table("What the model knows of actions", titles, rows, labels=1, note=KNOWN),
        *(_each_number(result, measure, tasks, brief) for measure in EACH),
    ]


def _cell(result: Result, key: str, task: str, brief: bool) -> Cell:
    entry = result.summary.get(f"{key}/{task}")
    if entry is None:
        return Cell("–", "muted")
    chance = result.summary.get(f"{key}-chance/{task}")
    if chance is not None:
        return Cell(f"{number(entry['mean'])} ({number(chance['mean'])})")
    muted = key.startswith(SHUFFLED)
    text = number(entry["mean"]) if brief and muted else interval(entry)
    return Cell(text, "muted" if muted else "")


def _each_number(result: Result, measure: str, tasks: list[str], brief: bool) -> Table:
    names = dict.fromkeys(str(r["condition"]) for r in result.rows if r.get("measure") == measure)
    rows = []
    for name in names:
        entries = [result.summary.get(f"{name}:{measure}/{task}") for task in tasks]
        texts = ["–" if e is None else number(e["mean"]) if brief else interval(e) for e in entries]
        rows.append([Cell(name), *map(Cell, texts)])
    title, note = EACH[measure]
    return Table(title, ("number", *(task[1:] for task in tasks)), rows, labels=1, note=note)
