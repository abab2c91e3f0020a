"""Phases 4 and 4b: random shooting, and CEM beside it at the same number of imagined futures."""

from __future__ import annotations

from dataclasses import replace

from foresight.evaluation.statistics import Row, Summary
from foresight.pipelines.planners import PlannerConfig
from studies.phases.common import TASK, Measured, Place
from studies.phases.rows import (
    beside_persistence,
    error_rows,
    persistence_rows,
    removed_differences,
    removed_shares,
    return_differences,
)


def shooting(planner: PlannerConfig) -> PlannerConfig:
    """Random shooting with as many sequences as CEM draws in all of its iterations."""
    return replace(planner, solver="shooting", samples=planner.samples * planner.iterations)


def phase_4(place: Place) -> Measured:
    """Random shooting towards the best frame of a random exploration, as the sources did first."""
    planner = replace(shooting(place.config.planner), goal="random", start="none")
    rows: list[Row] = []
    for view in place.views:
        place.train(view)
        rows += place.act(view, "one-step", planner, f"{view.name}:shooting")
    rows += place.rivals()
    found = removed_shares(rows, TASK)
    for view in place.views:
        found |= return_differences(rows, TASK, f"{view.name}:shooting", "zero")
    return Measured(rows, found)


def phase_4b(place: Place) -> Measured:
    """CEM and random shooting towards the same expert's goal frame, at equal budgets."""
    cem = place.config.planner
    rows: list[Row] = []
    measured: list[Row] = []
    found: Summary = {}
    for view in place.views:
        trained = place.train(view)
        ours, rival = f"{view.name}:cem", f"{view.name}:shooting"
        rows += place.act(view, "one-step", cem, ours)
        rows += place.act(view, "one-step", shooting(cem), rival)
        found |= removed_differences(rows, TASK, ours, rival)
        one, still = f"{view.name}:one-step", f"{view.name}:persistence"
        measured += error_rows(TASK, one, trained.horizon_errors)
        measured += persistence_rows(TASK, still, trained.horizon_errors)
        found |= beside_persistence(TASK, one, trained.horizon_errors)
    found |= removed_shares(rows, TASK)
    rows += place.rivals()
    for view in place.views:
        ours = f"{view.name}:cem"
        for rival in (f"{view.name}:shooting", "zero"):
            found |= return_differences(rows, TASK, ours, rival)
    return Measured(rows + measured, found)
