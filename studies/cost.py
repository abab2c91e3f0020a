"""Recipe ``cost``: what a learned task took in time and memory, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foresight.core.files import read_json
from foresight.core.machine import machine
from foresight.core.metrics import read_metrics
from foresight.core.stopwatch import PEAK, SECONDS
from foresight.evaluation.results import Result, load, make_result
from foresight.evaluation.statistics import Row
from studies.learned import Learned

EVALUATION = ("evaluate", "inverse")
"""What ``seconds.json`` says of a task that its log does not: the agent and its rival, measured."""


@dataclass
class Cost:
    """What one learned task took.

    Attributes:
        seconds: wall seconds of each stage, all processes of a resumed run together; a stage
            ``collect/encode`` is a part of ``collect``.
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
        whole = [value for name, value in self.seconds.items() if "/" not in name]
        seconds = {**self.seconds, "total": sum(whole)}
        found = {f"seconds:{name.replace('/', ':')}": value for name, value in seconds.items()}
        found |= {f"peak-gib:{name.replace('/', ':')}": v for name, v in self.peaks.items()}
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
    """Read a model's log, and what is known of its evaluation.

    Args:
        checkpoint: with ``metrics.jsonl``; beside it may be ``seconds.json``.
        task: whose rows of ``planning.json`` count, in the task's folder or above it.

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
    if not {"encode", "collect/encode"} & set(cost.seconds):
        cost.notes.append("encoding was not timed apart and is part of collect.")
    _add_evaluation(cost, checkpoint, task)
    return cost


def _in_all(values: Sequence[float]) -> float:
    """The last of a running sum, which in older logs began again at 0 with every process."""
    total, before = 0.0, 0.0
    for value in values:
        total += value - before if value >= before else value
        before = value
    return total


def _add_evaluation(cost: Cost, checkpoint: Path, task: str) -> None:
    """Seconds of the evaluation and peak memory of its process, from what it left."""
    timed = checkpoint.parent / "seconds.json"
    seconds = read_json(timed) if timed.is_file() else {}
    places = [checkpoint.parent.parent / "planning.json", checkpoint.parent / "planning.json"]
    path = next((place for place in places if place.is_file()), None)
    if path is None and not seconds:
        cost.notes.append(
            "neither seconds.json nor planning.json lies beside the run, so evaluation is not "
            "counted."
        )
        return
    busy = 0.0
    if path is not None:
        told, busy = _told(cost, load(path), task)
        seconds = {**told, **seconds}
    cost.seconds |= {name: float(seconds[name]) for name in EVALUATION if name in seconds}
    if cost.seconds.get("evaluate", 0.0) * int(machine()["cores"]) < busy:
        cost.notes.append(
            "the last evaluation only read finished episodes, so its time is the agents' decisions."
        )
        cost.seconds["evaluate"] = busy


def _told(cost: Cost, result: Result, task: str) -> tuple[dict[str, float], float]:
    """Seconds that a result tells of a task, and those for which its agent was deciding.

    Peak memory and platform go into ``cost``.
    """
    mine = [row for row in result.rows if row.get("task") == task]
    values = {row["measure"]: float(row["value"]) for row in mine if "measure" in row}
    if "peak-gib" in values:
        cost.peaks["process"] = values["peak-gib"]
    if result.versions.get("platform") != machine()["platform"]:
        cost.notes.append("it was measured on another platform than the machine named here.")
    agent = [row for row in mine if row.get("condition") == "mpc"]
    busy = sum(row["length"] * row.get("decision_ms", 0.0) for row in agent) / 1000
    names = [name for name in EVALUATION if f"seconds:{name}" in values]
    return {name: values[f"seconds:{name}"] for name in names}, busy
