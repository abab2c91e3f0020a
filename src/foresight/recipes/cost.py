"""Recipe ``cost``: what a learned task took in time and memory, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foresight.evaluation.results import Result, load, make_result
from foresight.evaluation.statistics import Row
from foresight.machine import machine
from foresight.metrics import read_metrics
from foresight.recipes.learned import Learned

SECONDS = "seconds/"
"""Before the stages' names in ``metrics.jsonl``; each counts from the start of its process."""
PEAK = "peak-gib/"
"""Before them where the peak memory of a stage was logged."""


@dataclass
class Cost:
    """What one learned task took.

    Attributes:
        seconds: wall seconds of each stage, all processes of a resumed run together.
        peaks: most memory held, in GiB: of a stage, or of the ``process``.
        steps: environment steps learned from.
        notes: what is missing, and why.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, float] = field(default_factory=dict)
    steps: int = 0
    notes: list[str] = field(default_factory=list)

    def rows(self, task: str) -> list[Row]:
        """``seconds:<stage>``, their ``seconds:total``, ``peak-gib:<stage>``, and the steps."""
        seconds = {**self.seconds, "total": sum(self.seconds.values())}
        found = {f"seconds:{name}": value for name, value in seconds.items()}
        found |= {f"peak-gib:{name}": value for name, value in self.peaks.items()}
        found["environment-steps"] = float(self.steps)
        return [{"measure": k, "task": task, "value": v} for k, v in found.items()]


def run(learned: Sequence[Learned]) -> Result:
    """The costs of several learned tasks, with the machine that this process runs on.

    Raises:
        ForesightError: a folder without ``metrics.jsonl``.
    """
    rows: list[Row] = []
    notes: dict[str, list[str]] = {}
    for one in learned:
        cost = cost_of(one.checkpoint, one.task)
        rows += cost.rows(one.task)
        notes[one.task] = cost.notes
    told = [f"{task}: {note}" for task, said in notes.items() for note in said]
    folders = {one.task: str(one.checkpoint) for one in learned}
    settings = {"models": folders, "machine": machine(), "notes": told}
    return make_result("cost", settings, "none", rows)


def cost_of(checkpoint: Path, task: str) -> Cost:
    """Read a model's log, and the result of its evaluation where there is one.

    Args:
        checkpoint: with ``metrics.jsonl``.
        task: whose rows of ``planning.json`` count, beside the task's folder or above it.

    Raises:
        ForesightError: there is no log.
    """
    log = read_metrics(checkpoint / "metrics.jsonl")
    cost = Cost(steps=int(log[-1].get("steps", 0)) if log else 0)
    for name in sorted({key for line in log for key in line}):
        values = [float(line[name]) for line in log if line.get(name) is not None]
        if name.startswith(SECONDS):
            cost.seconds[name.removeprefix(SECONDS)] = _in_all(values)
        elif name.startswith(PEAK):
            cost.peaks[name.removeprefix(PEAK)] = max(values)
    if "encode" not in cost.seconds:
        cost.notes.append("encoding was not timed apart and is part of collect.")
    _add_evaluation(cost, checkpoint, task)
    return cost


def _in_all(values: Sequence[float]) -> float:
    """The last of a running sum that began again at 0 with every process."""
    total, before = 0.0, 0.0
    for value in values:
        total += value - before if value >= before else value
        before = value
    return total


def _add_evaluation(cost: Cost, checkpoint: Path, task: str) -> None:
    """Seconds and peak memory of the process that evaluated, from its result file."""
    places = [checkpoint.parent.parent / "planning.json", checkpoint.parent / "planning.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        cost.notes.append("no planning.json lies beside the run, so evaluation is not counted.")
        return
    result = load(path)
    mine = [row for row in result.rows if row.get("task") == task]
    values = {row["measure"]: float(row["value"]) for row in mine if "measure" in row}
    if "peak-gib" in values:
        cost.peaks["process"] = values["peak-gib"]
    here = machine()
    if result.versions.get("platform") != here["platform"]:
        cost.notes.append("it was measured on another platform than the machine named here.")
    agent = [row for row in mine if row.get("condition") == "mpc"]
    busy = sum(row["length"] * row.get("decision_ms", 0.0) for row in agent) / 1000
    evaluated = values.get("seconds:evaluate", 0.0)
    if evaluated * int(here["cores"]) < busy:
        cost.notes.append(
            "the last evaluation only read finished episodes, so its time is the agents' decisions."
        )
        evaluated = busy
    cost.seconds["evaluate"] = evaluated
