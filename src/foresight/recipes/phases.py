"""Phases 1, 3, 4 and 4b of the source documents, repeated with their mistakes mended.

Mended: frames of the size that the encoder expects, windows that end at the present step both in
training and while planning, a real expert, splits by episode, and seeds enough for an interval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from foresight.agents.factory import PlannerConfig, PlannerFactory, PolicyFactory
from foresight.evaluation.baselines import RowBook
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.perception.eyes import Eyes
from foresight.policies.behaviour_cloning import CloningConfig
from foresight.policies.train import CloningTraining, train_cloning
from foresight.recipes.assess import Trial, assess_agent, assess_baselines
from foresight.recipes.stages import (
    DataPlan,
    default_workers,
    gather,
    horizon_rows,
    learn,
    model_base,
)
from foresight.worldmodel.experience import Experience
from foresight.worldmodel.fit import FitConfig
from foresight.worldmodel.latent import LatentConfig
from foresight.worldmodel.train import TrainConfig, Trained

TASK = "reacher-easy"
TRIVIAL = ("zero", "random", "constant")

SOURCE_FIGURES = {
    "phase-1": {"cloned return": 66.4, "expert return": 67.6, "cloned success": 0.20},
    "phase-3": {"validation SmoothL1": 0.01},
    "phase-4": {"return (one episode of 100 steps)": 0.0},
    "phase-4b": {"return (one episode)": 6.0, "latent distance removed": 0.413},
}
"""What the documents report for each phase."""


@dataclass(frozen=True)
class PhaseConfig:
    """Sizes that all phases share."""

    episodes: int = 500
    """Episodes of each dataset; the sources had 500 of 200 steps."""
    epochs: int = 100
    """Epochs of each training, as in the sources."""
    batch: int = 256
    """Windows per update; with 500 episodes 100 epochs are about 35,000 updates."""
    seeds: int = 20
    """Evaluation episodes."""
    eyes: Eyes = field(default_factory=lambda: Eyes(readout="source"))
    """Encoder and readout: 8-frame windows, mean over the tokens."""
    steps: int | None = None
    """Cut all episodes short (smoke runs)."""
    measure_horizon: int = 10
    """Longest horizon of the error table."""

    @property
    def fit(self) -> FitConfig:
        """The training schedule."""
        return FitConfig(epochs=self.epochs, batch=self.batch)

    @property
    def train(self) -> TrainConfig:
        """One-step training of the sources' network on standardised mean vectors."""
        return TrainConfig(
            fit=self.fit,
            latent=LatentConfig("standardise"),
            horizon=1,
            measure_horizon=self.measure_horizon,
        )


def presets() -> dict[str, PhaseConfig]:
    """The named sizes of the phases."""
    smoke = PhaseConfig(episodes=4, epochs=2, batch=32, seeds=2, steps=20, measure_horizon=4)
    return {"full": PhaseConfig(), "smoke": smoke}


@dataclass(frozen=True)
class _Place:
    """Where the phases work and with how many processes; datasets are shared between phases."""

    config: PhaseConfig
    folder: Path
    workers: int

    @property
    def trial(self) -> Trial:
        seeds = tuple(range(self.config.seeds))
        return Trial(TASK, seeds, "seed200", self.config.steps, self.workers)

    @property
    def book(self) -> RowBook:
        return RowBook(self.folder / "rows.jsonl")

    def plan(self, behaviour: str) -> DataPlan:
        return DataPlan(TASK, self.config.episodes, (behaviour,), steps=self.config.steps)

    def model(self) -> Trained:
        """Phases 2 and 3: ε-greedy expert data and the dynamics trained on it."""
        eyes = self.config.eyes
        store, cache = gather(
            self.plan("eps:0.3:expert"), eyes, self.folder / "exploration", self.workers
        )
        return learn(store, cache, eyes, self.config.train, self.folder / "dynamics")


def phase_1(place: _Place) -> tuple[list[Row], str]:
    """Behaviour cloning of an expert that solves the task."""
    config, eyes = place.config, place.config.eyes
    store, cache = gather(place.plan("expert"), eyes, place.folder / "expert", place.workers)
    base = model_base(TASK, store, cache, eyes)
    cloning = CloningConfig(
        task=TASK,
        features=base.features,
        actions=base.actions,
        action_low=base.action_low,
        action_high=base.action_high,
        latent=LatentConfig("standardise"),
        encoder_fingerprint=base.encoder_fingerprint,
        readout_fingerprint=base.readout_fingerprint,
        dataset_fingerprint=base.dataset_fingerprint,
    )
    experience = Experience.load(store, cache, 0.1, config.fit.seed)
    training = CloningTraining(fit=config.fit)
    folder = place.folder / "cloned"
    _, history = train_cloning(experience, cloning, training, folder)
    render = place.plan("expert").render(eyes.frame_size())
    name = f"cloned:{base.encoder}"
    rows = assess_agent(
        place.trial, name, PolicyFactory(str(folder), eyes), render, place.book
    ).rows
    rows += assess_baselines(place.trial, (*TRIVIAL, "expert"), place.book)
    best = min(history, key=lambda record: record["validation/loss"])
    for measure in ("validation/loss", "validation/mean_action"):
        rows.append({"measure": measure.replace("/", "-"), "task": TASK, "value": best[measure]})
    return rows, name


def phase_3(place: _Place) -> tuple[list[Row], str]:
    """The action-conditioned dynamics, at every horizon beside persistence."""
    trained = place.model()
    best = min(trained.history, key=lambda record: record["validation/loss"])
    rows: list[Row] = [
        {"measure": "validation-smooth-l1", "task": TASK, "value": best["validation/dynamics"]},
        {
            "measure": "persistence-smooth-l1",
            "task": TASK,
            "value": best["validation/persistence"],
        },
    ]
    rows += horizon_rows(TASK, trained.horizon_errors)
    return rows, "validation-smooth-l1"


def phase_4(place: _Place) -> tuple[list[Row], str]:
    """Random shooting, 1000 × 10, towards the best frame of a random exploration."""
    planner = PlannerConfig(
        solver="shooting", samples=1000, warm_start=False, objective="goal", goal="random"
    )
    return _planned(place, planner, "shooting")


def phase_4b(place: _Place) -> tuple[list[Row], str]:
    """CEM, 500 samples, 50 elites, 5 iterations, horizon 10, towards an expert's goal frame."""
    return _planned(place, PlannerConfig(objective="goal", goal="expert"), "cem")


def _planned(place: _Place, planner: PlannerConfig, label: str) -> tuple[list[Row], str]:
    place.model()
    eyes = place.config.eyes
    if place.config.steps is not None:
        planner = replace(planner, samples=64, elites=8, iterations=2)
    encoder, _ = eyes.load()
    render = place.plan("expert").render(eyes.frame_size())
    name = f"{label}:{encoder.name}"
    factory = PlannerFactory(str(place.folder / "dynamics"), eyes, planner, "seed200", render)
    rows = assess_agent(place.trial, name, factory, render, place.book).rows
    removed = [1 - row["latent_min"] / max(row["latent_initial"], 1e-9) for row in rows]
    rows = rows + assess_baselines(place.trial, (*TRIVIAL, "expert"), place.book)
    rows += [{"measure": "latent-distance-removed", "task": TASK, "value": v} for v in removed]
    return rows, name


PHASES: dict[str, Callable[[_Place], tuple[list[Row], str]]] = {
    "phase-1": phase_1,
    "phase-3": phase_3,
    "phase-4": phase_4,
    "phase-4b": phase_4b,
}


def run(name: str, config: PhaseConfig, folder: Path, workers: int | None = None) -> Result:
    """Run a phase in ``folder``; what another phase left there is used, not made again.

    The sources' figures stand in the result's configuration under ``source``.
    """
    place = _Place(config, folder, workers or default_workers())
    rows, headline = PHASES[name](place)
    settings = {"phase": config, "source": SOURCE_FIGURES[name], "headline": headline}
    return make_result(name, settings, "seed200", rows)
