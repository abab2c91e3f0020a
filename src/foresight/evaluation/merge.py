"""Adding tasks to a result file whose other tasks were measured before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result, load

ORIGIN = ("created", "git", "command", "versions")


def earlier(path: Path, name: str, protocol: str) -> Result | None:
    """The result in a file that tasks are to be added to; None where there is no file.

    Raises:
        ForesightError: the file holds another experiment or protocol, or is damaged.
    """
    if not path.exists():
        return None
    before = load(path)
    if (before.name, before.protocol) != (name, protocol):
        raise ForesightError(
            f"{path} holds {before.name} in {before.protocol}, and {name} in {protocol} is about "
            "to be written there: remove it, or give another --out."
        )
    return before


def beside(result: Result, before: Result | None) -> Result:
    """``result`` with the tasks that only ``before`` has, in the order of ``before``.

    Rows and summary of those stay what they were. Where they come from is kept in the
    configuration, under ``kept``: for each earlier run its ``tasks``, when, by what revision and
    command, with which versions and what ``config``.
    """
    tasks = set(result.tasks)
    others = [task for task in before.tasks if task not in tasks] if before else []
    if before is None or not others:
        return result
    order = list(dict.fromkeys((*before.tasks, *result.tasks)))
    rows = [row for row in before.rows if row.get("task") in others] + result.rows
    rows.sort(key=lambda row: order.index(row["task"]) if "task" in row else len(order))
    summary = {key: entry for key, entry in before.summary.items() if _is_of(key, others)}
    config = {**result.config, "kept": _kept(before, others)}
    return replace(result, rows=rows, summary=summary | result.summary, config=config)


def _kept(before: Result, tasks: list[str]) -> list[dict[str, object]]:
    """Where these tasks of ``before`` come from: runs before it, or its own."""
    config = {key: value for key, value in before.config.items() if key != "kept"}
    runs = []
    for run in before.config.get("kept", []):
        if still := [task for task in run["tasks"] if task in tasks]:
            runs.append({**run, "tasks": still})
            tasks = [task for task in tasks if task not in still]
    if tasks:
        origin = {name: getattr(before, name) for name in ORIGIN}
        runs.append({"tasks": tasks, **origin, "config": config})
    return runs


def _is_of(key: str, tasks: list[str]) -> bool:
    """Whether an entry of a summary is of one of the tasks: what follows its slash names it, and
    perhaps, behind an @, the frames after which it was measured.
    """
    name = key.rpartition("/")[2]
    return name in tasks or name.partition("@")[0] in tasks
