"""What the phases share: sizes, the two ways of seeing, data, models and agents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from foresight.data.cache import FeatureCache
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import borrow_baselines, paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.statistics import Row, Summary
from foresight.perception.bundled import FORESIGHT_SMALL
from foresight.perception.config import EncoderConfig
from foresight.pipelines.planners import GOAL_SEARCH, PlannerConfig, PlannerFactory
from foresight.pipelines.stages import DataPlan, gather, learn
from foresight.training.experience import Experience
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig, Trained
from foresight.worldmodel.config import StateEncoderConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig

TASK = "reacher-easy"
EXPLORATION = "eps:0.3:expert"
BASELINES = ("zero", "random", "constant", "expert", "oracle")
SOURCE_MLP = DynamicsConfig("mlp", hidden=512, layers=3)
"""The sources' residual MLP, of phases 3 and 6; 1.58 million parameters at Z = 1024."""
SOURCE_RESBLOCK = DynamicsConfig("resblock", hidden=1024, layers=4, dropout=0.1)
"""Their larger network, of phases 4d and 4e; 10.5 million at Z = 1024. They name no share of
dropout."""
SOURCE_UPDATES = (1_050, 31_000)
"""Updates that the sources gave multi-step and one-step training."""


@dataclass(frozen=True)
class View:
    """How frames become latent states."""

    name: str
    eyes: EncoderConfig
    state: StateEncoderConfig


@dataclass(frozen=True)
class PhaseConfig:
    """Sizes that the phases share."""

    episodes: int = 500
    """Episodes of each dataset, of 200 steps; a fifth is held out, so 80,000 steps are learnt
    from, as many as in the sources."""
    large: int = 5000
    """Episodes of phase 4e, which sets them beside a tenth of themselves."""
    task_episodes: int = 60
    """Demonstrations of phase 1 and episodes of each task of phases 6 and 7; the sources had 500
    and 1,000."""
    validation: float = 0.2
    """Share of episodes held out."""
    updates: int = 4000
    """Updates of a training, whatever its horizon; networks that are compared for their size get
    half of them each."""
    ensemble_updates: int = 1000
    """Updates of an ensemble."""
    checks: int = 10
    """How often held-out episodes are looked at; the best weights are kept."""
    batch: int = 256
    """Windows per update."""
    dim: int = 128
    """Width of the view ``grid``."""
    seeds: int = 20
    """Evaluation episodes."""
    planner: PlannerConfig = field(
        default_factory=lambda: replace(
            GOAL_SEARCH, samples=64, elites=10, iterations=4, horizon=8, objective="goal"
        )
    )
    """The search of all phases; random shooting draws as many sequences at once as CEM draws in all
    its iterations. The sources had 500 x 5 sequences of 10 steps."""
    mlp: DynamicsConfig = SOURCE_MLP
    """The network of one-step models and of ensembles."""
    resblock: DynamicsConfig = field(default_factory=lambda: SOURCE_RESBLOCK)
    """The larger network."""
    encoder: str = FORESIGHT_SMALL
    """The frozen encoder."""
    device: str = "cpu"
    """Where the encoder runs."""
    views: tuple[Literal["grid", "mean"], ...] = ("grid", "mean")
    """grid: principal axes of the tokens of three tubelets with space kept; mean: the sources' mean
    vector of 8-frame windows."""
    steps: int | None = None
    """Cut all episodes short (smoke runs)."""
    measure_horizon: int = 10
    """Longest horizon of the error table."""
    baselines: Path | None = Path("results/baselines.json")
    """Baseline episodes that are there already are not run again."""

    def view(self, name: str) -> View:
        """A view by its name."""
        if name == "mean":
            eyes = EncoderConfig(self.encoder, "mean", self.device)
            return View(name, eyes, StateEncoderConfig("standardise"))
        eyes = EncoderConfig(self.encoder, "tubelet", self.device)
        return View(name, eyes, StateEncoderConfig("pca", dim=self.dim, history=3))

    def train(self, view: View, **changes: object) -> TrainConfig:
        """One-step training of the sources' network, with changes."""
        fit = FitConfig(epochs=self.checks, updates=self.updates, batch=self.batch)
        base = TrainConfig(
            fit=fit,
            state=view.state,
            dynamics=self.mlp,
            horizon=1,
            validation=self.validation,
            measure_horizon=self.measure_horizon,
        )
        return replace(base, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measured:
    """What a phase found."""

    rows: list[Row]
    summary: Summary = field(default_factory=dict)
    """Entries that follow from rows otherwise than as their means."""
    protocol: str = "seed200"


@dataclass(frozen=True)
class Place:
    """Where the phases work; datasets, models and finished episodes are shared between them."""

    config: PhaseConfig
    folder: Path
    workers: int = 1

    @property
    def views(self) -> list[View]:
        """The ways of seeing, ``grid`` first."""
        return [self.config.view(name) for name in self.config.views]

    def plan(self, behaviour: str | Sequence[str], task: str = TASK, count: int = 0) -> DataPlan:
        """Episodes of a behaviour, or of several in turn; ``count`` 0 takes the usual number."""
        behaviours = (behaviour,) if isinstance(behaviour, str) else tuple(behaviour)
        return DataPlan(task, count or self.config.episodes, behaviours, steps=self.config.steps)

    def data(
        self, view: View, plan: DataPlan, name: str = "exploration"
    ) -> tuple[Dataset, FeatureCache]:
        """The episodes of a plan and their features."""
        folder = self.folder / f"{plan.task}-{name}"
        return gather(plan, view.eyes, folder, self.workers)

    def model_folder(self, view: View, label: str, task: str = TASK) -> Path:
        """Where a model lies."""
        return self.folder / "models" / f"{task}-{view.name}-{label}"

    def train(self, view: View, label: str = "one-step", **changes: object) -> Trained:
        """The dynamics of reacher's exploration, trained at most once for each label."""
        store, cache = self.data(view, self.plan(EXPLORATION))
        config = self.config.train(view, **changes)
        return learn(store, cache, view.eyes, config, self.model_folder(view, label))

    def experience(self, view: View, plan: DataPlan, name: str = "exploration") -> Experience:
        """Features, actions and rewards with the split that `train` makes."""
        store, cache = self.data(view, plan, name)
        return Experience.load(store, cache, self.config.validation, 0)

    def book(self, task: str = TASK) -> EpisodeCache:
        """Finished episodes."""
        book = EpisodeCache(self.folder / "rows.jsonl")
        if self.config.baselines is not None and self.config.steps is None:
            borrow_baselines(book, EnvConfig(task), self.config.baselines)
        return book

    def trial(self, task: str = TASK, view: View | None = None) -> EvalConfig:
        """The episodes that all conditions share, with pictures for a view."""
        seeds = tuple(range(self.config.seeds))
        env = EnvConfig(task)
        if view is not None:
            env = self.plan(EXPLORATION, task).env(view.eyes.frame_size())
        return EvalConfig(env, seeds, self.config.steps, self.workers)

    def act(
        self, view: View, label: str, planner: PlannerConfig, condition: str, task: str = TASK
    ) -> list[Row]:
        """Episodes of the planner of a trained model."""
        trial = self.trial(task, view)
        checkpoint = str(self.model_folder(view, label, task))
        factory = PlannerFactory(checkpoint, view.eyes, planner, trial.env)
        return assess_policy(trial, condition, factory, self.book(task)).rows

    def rivals(self, task: str = TASK) -> list[Row]:
        """Trivial conditions, expert and oracle on the same seeds."""
        conditions = ("zero", "random", "expert") if self.config.steps else BASELINES
        return paired_baselines(self.trial(task), conditions, self.book(task))
