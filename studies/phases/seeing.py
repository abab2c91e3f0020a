"""Phases 1 and 3: what can be cloned and what can be predicted from frozen features."""

from __future__ import annotations

from foresight.evaluation.assess import assess_policy
from foresight.evaluation.statistics import Row, Summary
from foresight.pipelines.stages import clone
from foresight.policies.latent import ClonedFactory
from foresight.training.cloning import CloningTraining
from studies.phases.common import TASK, Measured, Place, View
from studies.phases.rows import (
    beside_persistence,
    error_rows,
    measurement,
    persistence_rows,
    return_differences,
)


def phase_1(place: Place) -> Measured:
    """Behaviour cloning of an expert that solves the task."""
    rows: list[Row] = []
    for view in place.views:
        rows += _cloned(place, view)
    rows += place.rivals()
    found: Summary = {}
    for view in place.views:
        for rival in ("expert", "zero"):
            found |= return_differences(rows, TASK, f"{view.name}:cloned", rival)
    return Measured(rows, found)


def _cloned(place: Place, view: View) -> list[Row]:
    plan = place.plan("expert", count=place.config.task_episodes)
    store, cache = place.data(view, plan, "expert")
    training = CloningTraining(fit=place.config.train(view).fit, validation=place.config.validation)
    folder = place.model_folder(view, "cloned")
    _, history = clone(store, cache, view.eyes, view.state, training, folder)
    best = min(history, key=lambda record: record["validation/loss"])
    condition = f"{view.name}:cloned"
    rows = [
        measurement(name, TASK, condition, best[f"validation/{key}"])
        for name, key in (("validation-mse", "loss"), ("mean-action-mse", "mean_action"))
    ]
    factory = ClonedFactory(str(folder), view.eyes)
    trial = place.trial(view=view)
    return rows + assess_policy(trial, condition, factory, place.book()).rows


def phase_3(place: Place) -> Measured:
    """The action-conditioned dynamics, at every horizon beside persistence."""
    rows: list[Row] = []
    found: Summary = {}
    for view in place.views:
        trained = place.train(view)
        best = min(trained.history, key=lambda record: record["validation/loss"])
        one, still = f"{view.name}:one-step", f"{view.name}:persistence"
        rows += [
            measurement("validation-smooth-l1", TASK, one, best["validation/dynamics"]),
            measurement("validation-smooth-l1", TASK, still, best["validation/persistence"]),
        ]
        rows += error_rows(TASK, one, trained.horizon_errors)
        rows += persistence_rows(TASK, still, trained.horizon_errors)
        found |= beside_persistence(TASK, one, trained.horizon_errors)
    return Measured(rows, found, protocol="none")
