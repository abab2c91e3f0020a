"""What phases measure, as rows; and what follows from rows, as entries of the summary.

Differences are paired by held-out episode or by seed. They can be computed again from the rows, so
no row holds them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import (
    Row,
    Summary,
    bootstrap_interval,
    condition_difference,
    measure_key,
    paired_difference,
)
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


def beside_persistence(task: str, condition: str, errors: Sequence[HorizonError]) -> Summary:
    """Error of a model minus that of persistence, paired by held-out episode."""
    name = f"{condition} minus persistence"
    return {
        _key("error-difference", task, name, entry.horizon): _paired(entry.model, entry.persistence)
        for entry in errors
    }


def error_differences(
    task: str, condition: str, first: Sequence[HorizonError], second: Sequence[HorizonError]
) -> Summary:
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
    return {
        _key("error-difference", task, condition, one.horizon): _paired(one.model, other.model)
        for one, other in zip(first, second, strict=True)
    }


def return_differences(rows: Sequence[Row], task: str, first: str, second: str) -> Summary:
    """Return of one condition minus that of another, paired by seed.

    The condition of the entry is ``<first> minus <second>``.

    Raises:
        ForesightError: the two share no seed.
    """
    found = condition_difference(rows, task, first, second).as_dict()
    return {_key("return-difference", task, f"{first} minus {second}"): found}


def removed(row: Row) -> float:
    """The share of the first latent distance that an episode removed at its best moment."""
    return 1 - row["latent_min"] / max(row["latent_initial"], 1e-9)


def removed_shares(rows: Sequence[Row], task: str) -> Summary:
    """``latent-distance-removed`` of the episodes of goal-seeking agents."""
    shares: dict[str, list[float]] = {}
    for row in rows:
        if row["task"] == task and "latent_min" in row:
            shares.setdefault(row["condition"], []).append(removed(row))
    return {
        _key("latent-distance-removed", task, condition): bootstrap_interval(values).as_dict()
        for condition, values in shares.items()
    }


def removed_differences(rows: Sequence[Row], task: str, first: str, second: str) -> Summary:
    """Share removed under one condition minus that under another, paired by seed.

    Raises:
        ForesightError: the two share no seed.
    """
    ours, theirs = (
        {row["seed"]: removed(row) for row in rows if row.get("condition") == name}
        for name in (first, second)
    )
    shared = sorted(ours.keys() & theirs.keys())
    found = _paired([ours[seed] for seed in shared], [theirs[seed] for seed in shared])
    return {_key("removed-difference", task, f"{first} minus {second}"): found}


def relabelled(rows: Sequence[Row], condition: str) -> list[Row]:
    """The same episodes under the name that they have in another phase."""
    return [{**row, "condition": condition} for row in rows]


def measurement(measure: str, task: str, condition: str, value: float) -> Row:
    """One number."""
    return _row(measure, task, condition, value)


def _paired(first: Sequence[float], second: Sequence[float]) -> dict[str, float]:
    return paired_difference(first, second).as_dict()


def _key(measure: str, task: str, condition: str, horizon: int | None = None) -> str:
    return measure_key(
        {"measure": measure, "task": task, "condition": condition, "horizon": horizon}
    )


def _row(measure: str, task: str, condition: str, value: float, horizon: int | None = None) -> Row:
    row: dict[str, Any] = {"measure": measure, "task": task, "condition": condition}
    if horizon is not None:
        row["horizon"] = horizon
    return {**row, "value": float(value)}
