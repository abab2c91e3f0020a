"""Phase 6: on three tasks the same eyes, ensembles of five, and what their diversity is worth."""

from __future__ import annotations

from dataclasses import replace

import torch

from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.diagnostics.feature_health import feature_health, health_rows
from foresight.evaluation.statistics import Row, Summary
from foresight.pipelines.stages import DataPlan, learn
from foresight.training.experience import Experience
from foresight.training.offline import Trained
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.state import encode_latents
from studies.ensemble_errors.calibration import calibrate, held_out, weight_cosine
from studies.phases.common import EXPLORATION, Measured, Place, View
from studies.phases.rows import beside_persistence, error_rows, measurement, persistence_rows
from studies.whitening import whitening_matrix

BEHAVIOURS = {
    "reacher-easy": (EXPLORATION,),
    "point_mass-easy": (EXPLORATION,),
    # The sources' cartpole expert earned .01 of 200: no better than wandering about.
    "cartpole-swingup": ("ar1:0.9", "random"),
}
MEMBERS = 5
HORIZONS = (1, 2, 4, 8)
LABEL = "ensemble"


def phase_6(place: Place) -> Measured:
    """Embedding quality, ensembles with their diversity, and reward models, task by task."""
    rows: list[Row] = []
    summary: Summary = {}
    for task in BEHAVIOURS:
        for view in place.views:
            store, cache, trained = ensemble(place, view, task)
            experience = Experience.load(store, cache, place.config.validation, 0)
            rows += _embedding_rows(task, view, experience, trained)
            more, found = _calibration(task, view, experience, trained)
            rows += more + _losses(task, view, trained)
            summary |= found
            name = f"{view.name}:{LABEL}"
            summary |= beside_persistence(task, name, trained.horizon_errors)
    return Measured(rows, summary, protocol="none")


def task_plan(place: Place, task: str) -> DataPlan:
    """The episodes of one of the three tasks."""
    return place.plan(BEHAVIOURS[task], task, place.config.task_episodes)


def ensemble(place: Place, view: View, task: str) -> tuple[Dataset, FeatureCache, Trained]:
    """Five residual MLPs from different seeds, each with its own order of the data."""
    store, cache = place.data(view, task_plan(place, task), "tasks")
    fit = replace(place.config.train(view).fit, updates=place.config.ensemble_updates)
    config = place.config.train(view, dynamics=replace(place.config.mlp, members=MEMBERS), fit=fit)
    folder = place.model_folder(view, LABEL, task)
    return store, cache, learn(store, cache, view.eyes, config, folder)


def _embedding_rows(task: str, view: View, experience: Experience, trained: Trained) -> list[Row]:
    """The sources' table for the features, and the same for the latent states made from them."""
    latent = trained.model.state
    z = encode_latents(latent, experience.features, experience.offsets).numpy()
    held = experience.validation
    raw = feature_health(experience.features, experience.offsets, held)
    states = feature_health(z, experience.offsets, held)
    return health_rows(
        {"features": raw["raw"], "centred": raw["centred"], "latent": states["raw"]},
        task,
        view.name,
    )


def _calibration(
    task: str, view: View, experience: Experience, trained: Trained
) -> tuple[list[Row], Summary]:
    """Disagreement beside true error, and weight cosines beside those before any training."""
    dynamics = trained.model.dynamics
    assert isinstance(dynamics, EnsembleDynamics)
    episodes = held_out(trained.model, experience)
    z = encode_latents(trained.model.state, experience.features, experience.offsets)
    learnt = torch.cat([z[s:e] for s, e in _spans(experience)])
    horizons = [h for h in HORIZONS if h <= max(e.horizon for e in trained.horizon_errors)]
    found = calibrate(dynamics, episodes, horizons, whitening_matrix(learnt))
    rows: list[Row] = []
    summary: Summary = {}
    tables = (("spearman", found.spearman), ("ratio", found.ratio), ("error", found.error))
    for name, intervals in tables:
        for horizon, interval in intervals.items():
            measure, condition = f"{name}-h{horizon}", f"{view.name}:{LABEL}"
            rows.append(measurement(measure, task, condition, interval.mean))
            summary[f"{condition}:{measure}/{task}"] = interval.as_dict()
    for condition, cosines in (
        (LABEL, found.diversity),
        ("untrained", weight_cosine(untrained(dynamics))),
    ):
        rows += [measurement(k, task, f"{view.name}:{condition}", v) for k, v in cosines.items()]
    return rows, summary


def untrained(dynamics: EnsembleDynamics) -> EnsembleDynamics:
    """A fresh ensemble of the same shape."""
    return EnsembleDynamics(dynamics.config, dynamics.latent, dynamics.actions, seed=0)


def _spans(experience: Experience) -> list[tuple[int, int]]:
    offsets = experience.offsets
    return [(int(offsets[e]), int(offsets[e + 1])) for e in experience.train]


def _losses(task: str, view: View, trained: Trained) -> list[Row]:
    """Held-out errors of the ensemble's mean and of the reward model, with their baselines."""
    best = min(trained.history, key=lambda record: record["validation/loss"])
    condition = f"{view.name}:{LABEL}"
    constant = best["validation/reward_variance"]
    rows = [
        measurement("validation-smooth-l1", task, condition, best["validation/dynamics"]),
        measurement("reward-mse", task, condition, best["validation/reward"]),
        measurement("reward-mse", task, f"{view.name}:constant", constant),
    ]
    rows += error_rows(task, condition, trained.horizon_errors)
    return rows + persistence_rows(task, f"{view.name}:persistence", trained.horizon_errors)
