"""Phase 4c: one-step and multi-step training at equal updates, and at the sources' unequal ones."""

from __future__ import annotations

from dataclasses import replace

from foresight.evaluation.statistics import Row, Summary
from foresight.training.offline import Trained
from studies.phases.common import SOURCE_UPDATES, TASK, Measured, Place, View
from studies.phases.rows import (
    error_differences,
    error_rows,
    measurement,
    persistence_rows,
    relabelled,
    removed_differences,
    removed_shares,
    return_differences,
)

HORIZON = 5
ONE, MULTI, STARVED = "one-step", "multi-step", "multi-step starved"


def starved_updates(updates: int) -> int:
    """The share of the updates that the sources gave their multi-step model, 1,050 of 31,000."""
    multi, one = SOURCE_UPDATES
    return max(1, round(updates * multi / one))


def phase_4c(place: Place) -> Measured:
    """Errors at every horizon and returns of the same planner with each model."""
    episodes: list[Row] = []
    measured: list[Row] = []
    found: Summary = {}
    for view in place.views:
        models = _models(place, view)
        rows, differences = _errors(view, models)
        measured += rows
        found |= differences
        for label, trained in models.items():
            updates = len(trained.history) * _every(place, label)
            measured.append(measurement("updates", TASK, f"{view.name}:{label}", updates))
        planner = place.config.planner
        # Phase 4b has run these very episodes, under its own name.
        known = place.act(view, "one-step", planner, f"{view.name}:cem")
        episodes += relabelled(known, f"{view.name}:{ONE}")
        episodes += place.act(view, MULTI, planner, f"{view.name}:{MULTI}")
        pair = (f"{view.name}:{MULTI}", f"{view.name}:{ONE}")
        found |= return_differences(episodes, TASK, *pair)
        found |= removed_differences(episodes, TASK, *pair)
    found |= removed_shares(episodes, TASK)
    return Measured(episodes + place.rivals() + measured, found)


def _models(place: Place, view: View) -> dict[str, Trained]:
    fit = place.config.train(view).fit
    starved = replace(fit, updates=starved_updates(fit.updates), epochs=1)
    return {
        ONE: place.train(view),
        MULTI: place.train(view, MULTI, horizon=HORIZON),
        STARVED: place.train(view, "multi-step-starved", horizon=HORIZON, fit=starved),
    }


def _every(place: Place, label: str) -> int:
    config = place.config
    if label == STARVED:
        return starved_updates(config.updates)
    return -(-config.updates // config.checks)


def _errors(view: View, models: dict[str, Trained]) -> tuple[list[Row], Summary]:
    found: Summary = {}
    rows = persistence_rows(TASK, f"{view.name}:persistence", models[ONE].horizon_errors)
    for label, trained in models.items():
        rows += error_rows(TASK, f"{view.name}:{label}", trained.horizon_errors)
    for first, second in ((MULTI, ONE), (STARVED, ONE), (STARVED, MULTI)):
        name = f"{view.name}:{first} minus {second}"
        errors = (models[first].horizon_errors, models[second].horizon_errors)
        found |= error_differences(TASK, name, *errors)
    return rows, found
