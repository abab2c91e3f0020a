"""The whole road: collect, encode, train, evaluate, report."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.core.progress import console
from foresight.core.stopwatch import Stopwatch
from foresight.envs.dmc.tasks import canonical
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import CONDITIONS, paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.perception.config import EncoderConfig
from foresight.pipelines.planners import GOAL_SEARCH, PlannerConfig, PlannerFactory
from foresight.pipelines.stages import DataPlan, default_workers, gather, horizon_rows, learn
from foresight.report.run_page import film_path, road_page, save_films
from foresight.training.loop import FitConfig
from foresight.training.offline import TrainConfig
from foresight.worldmodel.config import StateEncoderConfig
from foresight.worldmodel.dynamics.config import DynamicsConfig


@dataclass(frozen=True)
class RoadConfig:
    """One task's road with all its settings."""

    data: DataPlan
    eyes: EncoderConfig = field(default_factory=EncoderConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    planner: PlannerConfig = GOAL_SEARCH
    seeds: int = 20
    """Evaluation episodes, seeds 0, 1, …"""
    baselines: tuple[str, ...] = CONDITIONS
    """Conditions beside the agent."""
    film: int = 2
    """Episodes of the agent that are filmed."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


LATENT = StateEncoderConfig(kind="pca", dim=128, history=3)


def presets(task: str) -> dict[str, RoadConfig]:
    """The named sizes of the road for a task."""
    demo = RoadConfig(
        data=DataPlan(task, episodes=400, steps=100),
        train=TrainConfig(fit=FitConfig(epochs=20), state=LATENT, horizon=3),
        planner=replace(GOAL_SEARCH, samples=300, elites=30, iterations=3, horizon=8),
    )
    full = replace(
        demo,
        data=DataPlan(task, episodes=1000),
        train=replace(demo.train, fit=FitConfig(epochs=40)),
        planner=GOAL_SEARCH,
    )
    smoke = replace(
        demo,
        data=DataPlan(task, episodes=6, steps=25),
        train=replace(
            demo.train,
            fit=FitConfig(epochs=2, batch=32),
            state=replace(LATENT, dim=16),
            dynamics=DynamicsConfig(hidden=32),
            measure_horizon=5,
        ),
        planner=replace(GOAL_SEARCH, samples=32, elites=8, iterations=2, horizon=5),
        seeds=2,
        baselines=("zero", "random", "expert"),
        film=1,
        steps=20,
    )
    return {"demo": demo, "full": full, "smoke": smoke}


def make_config(task: str, preset: str) -> RoadConfig:
    """A preset by name.

    Raises:
        ForesightError: unknown task or preset.
    """
    found = presets(canonical(task))
    if preset not in found:
        raise ForesightError(f"Unknown preset {preset!r}: choose one of {', '.join(found)}.")
    return found[preset]


def run(config: RoadConfig, folder: Path, workers: int | None = None) -> Result:
    """Go the whole road in ``folder``; run again after a stop, it goes on where it was.

    Writes ``data/``, ``cache/``, ``model/``, ``rows.jsonl``, ``result.json`` and ``report.html``.

    Raises:
        ForesightError: whatever a stage has to say about its input.
    """
    workers = workers or default_workers()
    task = config.data.task
    encoder, _ = config.eyes.load()
    watch = Stopwatch()
    with watch.stage("collect and encode"):
        console.print(f"[bold]{task}[/] seen by {encoder.name}: collect and encode")
        store, cache = gather(config.data, config.eyes, folder, workers)
    with watch.stage("train"):
        console.print(f"train on {sum(store.lengths)} steps of {len(store)} episodes")
        trained = learn(store, cache, config.eyes, config.train, folder / "model")
    seeds = tuple(range(config.seeds))
    console.print(f"evaluate on {len(seeds)} seeds beside {', '.join(config.baselines)}")
    env = config.data.env(config.eyes.frame_size())
    trial = EvalConfig(env, seeds, config.steps, workers)
    episodes = EpisodeCache(folder / "rows.jsonl")
    factory = PlannerFactory(str(folder / "model"), config.eyes, config.planner, env)
    films = {seed: f"planner-seed-{seed}" for seed in seeds[: config.film]}
    unfilmed = [s for s, film in films.items() if not film_path(folder, film).exists()]
    name = f"planner:{encoder.name}"
    with watch.stage("evaluate the planner"):
        agent = assess_policy(trial, name, factory, episodes, film=unfilmed)
        save_films(folder, {films[seed]: frames for seed, frames in agent.films.items()})
    with watch.stage("evaluate the baselines"):
        rows = agent.rows + paired_baselines(trial, config.baselines, episodes)
    rows += horizon_rows(task, trained.horizon_errors)
    rows += [
        {"measure": f"seconds:{k}", "task": task, "value": v} for k, v in watch.seconds.items()
    ]
    result = make_result(f"road-{task}", config, config.data.protocol, rows)
    result.save(folder / "result.json")
    road_page(folder)
    return result
