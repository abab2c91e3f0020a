"""Measurement rows that compare: differences paired by episode or by seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import Row, returns_by_seed
from foresight.training.offline import HorizonError


def error_rows(task: str, condition: str, errors: Sequence[HorizonError]) -> list[Row]:
    """Open-loop error of a model at each horizon, one row for each held-out episode."""
    return [
        _row("prediction-error", task, condition, value, horizon=entry.horizon)
        for entry in errors
        for value in entry.model
    ]


def persistence_rows(task: str, condition: str, errors: Sequence[HorizonError]) -> list[Row]:
    """The error of predicting that nothing changes, on the same episodes."""
    return [
        _row("prediction-error", task, condition, value, horizon=entry.horizon)
        for entry in errors
        for value in entry.persistence
    ]


def beside_persistence(task: str, condition: str, errors: Sequence[HorizonError]) -> list[Row]:
    """Error of a model minus that of persistence, paired by held-out episode."""
    return [
        _row("error-difference", task, f"{condition} minus persistence", a - b, entry.horizon)
        for entry in errors
        for a, b in zip(entry.model, entry.persistence, strict=True)
    ]


def error_differences(
    task: str, condition: str, first: Sequence[HorizonError], second: Sequence[HorizonError]
) -> list[Row]:
    """Error of one model minus that of another on the same held-out episodes.

    Args:
        task: of both.
        condition: for example ``grid:multi-step minus one-step``.
        first: errors of the one.
        second: errors of the other, at the same horizons.

    Raises:
        ForesightError: the two were measured on other numbers of episodes or horizons.
    """
    shapes = [[(e.horizon, len(e.model)) for e in errors] for errors in (first, second)]
    if shapes[0] != shapes[1]:
        raise ForesightError(
            f"Errors of {condition} were measured at {shapes[0][:1]} … and {shapes[1][:1]} … "
            "(horizon, episodes) and cannot be paired: measure both on the same episodes."
        )
    return [
        _row("error-difference", task, condition, x - y, one.horizon)
        for one, other in zip(first, second, strict=True)
        for x, y in zip(one.model, other.model, strict=True)
    ]


def return_differences(rows: Sequence[Row], task: str, first: str, second: str) -> list[Row]:
    """Return of one condition minus that of another, paired by seed.

    The condition of the rows is ``<first> minus <second>``.

    Raises:
        ForesightError: the two share no seed.
    """
    ours, theirs = returns_by_seed(rows, task, first), returns_by_seed(rows, task, second)
    shared = sorted(ours.keys() & theirs.keys())
    if not shared:
        raise ForesightError(
            f"{first} and {second} share no seed on {task}: run both on the same seeds."
        )
    return [
        _row("return-difference", task, f"{first} minus {second}", ours[s] - theirs[s])
        for s in shared
    ]


def removed(row: Row) -> float:
    """The share of the first latent distance that an episode removed at its best moment."""
    return 1 - row["latent_min"] / max(row["latent_initial"], 1e-9)


def removed_rows(rows: Sequence[Row], task: str) -> list[Row]:
    """``latent-distance-removed`` of the episodes of goal-seeking agents."""
    return [
        _row("latent-distance-removed", task, row["condition"], removed(row))
        for row in rows
        if "latent_min" in row
    ]


def removed_differences(rows: Sequence[Row], task: str, first: str, second: str) -> list[Row]:
    """Share removed under one condition minus that under another, paired by seed."""
    found = {
        name: {row["seed"]: removed(row) for row in rows if row.get("condition") == name}
        for name in (first, second)
    }
    shared = sorted(found[first].keys() & found[second].keys())
    return [
        _row(
            "removed-difference",
            task,
            f"{first} minus {second}",
            found[first][seed] - found[second][seed],
        )
        for seed in shared
    ]


def relabelled(rows: Sequence[Row], condition: str) -> list[Row]:
    """The same episodes under the name that they have in another phase."""
    return [{**row, "condition": condition} for row in rows]


def measurement(measure: str, task: str, condition: str, value: float) -> Row:
    """One number."""
    return _row(measure, task, condition, value)


def _row(measure: str, task: str, condition: str, value: float, horizon: int | None = None) -> Row:
    row: dict[str, Any] = {"measure": measure, "task": task, "condition": condition}
    if horizon is not None:
        row["horizon"] = horizon
    return {**row, "value": float(value)}
