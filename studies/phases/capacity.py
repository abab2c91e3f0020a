"""Phases 4d and 4e: the small network and the large one, on less and on ten times more data."""

from __future__ import annotations

from dataclasses import replace

from foresight.evaluation.statistics import Row, Summary
from foresight.pipelines.planners import PlannerConfig
from foresight.pipelines.stages import model_base
from foresight.training.loop import FitConfig
from foresight.training.offline import Trained, train_world_model
from foresight.worldmodel.dynamics.config import DynamicsConfig
from studies.phases.common import EXPLORATION, TASK, Measured, Place, View
from studies.phases.rows import (
    beside_persistence,
    error_differences,
    error_rows,
    measurement,
    persistence_rows,
    removed_differences,
    removed_shares,
    return_differences,
)

MLP, RESBLOCK = "mlp", "resblock"


def phase_4d(place: Place) -> Measured:
    """Residual MLP and residual blocks on the same data, updates and search."""
    episodes: list[Row] = []
    measured: list[Row] = []
    found: Summary = {}
    for view in place.views:
        fit = _fit(place, view)
        mlp = place.train(view, MLP, fit=fit)
        large = place.train(view, RESBLOCK, dynamics=place.config.resblock, fit=fit)
        measured += persistence_rows(TASK, f"{view.name}:persistence", mlp.horizon_errors)
        for label, trained in ((MLP, mlp), (RESBLOCK, large)):
            measured += _described(f"{view.name}:{label}", trained)
            found |= beside_persistence(TASK, f"{view.name}:{label}", trained.horizon_errors)
        name = f"{view.name}:{RESBLOCK} minus {MLP}"
        found |= error_differences(TASK, name, large.horizon_errors, mlp.horizon_errors)
    view = place.views[0]
    for label in (MLP, RESBLOCK):
        episodes += place.act(view, label, _planner(place), f"{view.name}:{label}")
    pair = (f"{view.name}:{RESBLOCK}", f"{view.name}:{MLP}")
    found |= return_differences(episodes, TASK, *pair)
    found |= removed_differences(episodes, TASK, *pair)
    found |= removed_shares(episodes, TASK)
    return Measured(episodes + place.rivals() + measured, found)


def phase_4e(place: Place) -> Measured:
    """Both networks on many episodes and on a tenth of them, with the same held-out episodes."""
    view = place.views[0]
    sizes: dict[str, DynamicsConfig] = {MLP: place.config.mlp, RESBLOCK: place.config.resblock}
    models = {
        (label, share): _trained(place, view, label, dynamics, share)
        for share in (10, 1)
        for label, dynamics in sizes.items()
    }
    found: Summary = {}
    measured = persistence_rows(TASK, "persistence", models[MLP, 1].horizon_errors)
    # Fewer episodes make another latent space, in which persistence errs differently.
    measured += persistence_rows(TASK, "tenth persistence", models[MLP, 10].horizon_errors)
    for (label, share), trained in models.items():
        measured += _described(_name(label, share), trained)
        found |= beside_persistence(TASK, _name(label, share), trained.horizon_errors)
    for first, second in (
        ((MLP, 1), (MLP, 10)),
        ((RESBLOCK, 1), (RESBLOCK, 10)),
        ((RESBLOCK, 1), (MLP, 1)),
    ):
        errors = (models[first].horizon_errors, models[second].horizon_errors)
        found |= error_differences(TASK, f"{_name(*first)} minus {_name(*second)}", *errors)
    episodes: list[Row] = []
    for label, share in ((MLP, 10), (MLP, 1), (RESBLOCK, 1)):
        folder = _folder_name(label, share)
        episodes += place.act(view, folder, _planner(place), _name(label, share))
    few, many, large = (_name(*key) for key in ((MLP, 10), (MLP, 1), (RESBLOCK, 1)))
    episodes += place.rivals()
    for pair in ((many, few), (large, many), (many, "zero")):
        found |= return_differences(episodes, TASK, *pair)
    found |= removed_shares(episodes, TASK)
    return Measured(episodes + measured, found)


def _fit(place: Place, view: View) -> FitConfig:
    """Half of the updates, and products in bfloat16: the large network learns slowly on a CPU."""
    usual = place.config.train(view).fit
    return replace(usual, updates=max(1, usual.updates // 2), dtype="bfloat16")


def _planner(place: Place) -> PlannerConfig:
    """Half of the iterations: a decision of the large network costs ten of the small one's."""
    usual = place.config.planner
    return replace(usual, iterations=max(1, usual.iterations // 2))


def _name(label: str, share: int) -> str:
    return f"{label} all" if share == 1 else f"{label} tenth"


def _folder_name(label: str, share: int) -> str:
    return f"{label}-many" if share == 1 else f"{label}-few"


def _trained(place: Place, view: View, label: str, dynamics: DynamicsConfig, share: int) -> Trained:
    """One network on the first 1/share of the training episodes of the large dataset."""
    config = place.config
    plan = place.plan(EXPLORATION, count=config.large)
    name = "exploration" if config.large == config.episodes else "large"
    store, cache = place.data(view, plan, name)
    experience = place.experience(view, plan, name)
    few = experience.train[: max(1, len(experience.train) // share)]
    return train_world_model(
        replace(experience, train=few),
        model_base(store, cache, view.eyes),
        config.train(view, dynamics=dynamics, fit=_fit(place, view)),
        place.model_folder(view, _folder_name(label, share)),
    )


def _described(condition: str, trained: Trained) -> list[Row]:
    """Size, errors, and how much better the network knows what it has seen."""
    best = min(trained.history, key=lambda record: record["validation/loss"])
    last = trained.history[-1]
    numbers = {
        "parameters": sum(p.numel() for p in trained.model.dynamics.parameters()),
        "validation-smooth-l1": best["validation/dynamics"],
        "last-training-smooth-l1": last["train/dynamics"],
        "last-validation-smooth-l1": last["validation/dynamics"],
    }
    rows = [measurement(name, TASK, condition, value) for name, value in numbers.items()]
    return rows + error_rows(TASK, condition, trained.horizon_errors)
