"""Recipe ``jepa-design``: what decides whether a world model can be planned with, what only looks.

Nine small models learn from the same recording of two rooms with as many operations each: on frozen
tokens or end to end from pixels; from one step, from rollouts of two and from long ones; told of
actions by tokens or by adaLN; with a context of one, three or seven frames; told of the robot's
state or not. Each is judged on held-out episodes and then plans towards goal pictures, and the two
orders are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr  # type: ignore[import-untyped]

from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.judge import MODEL, SHUFFLED, Judgement, JudgePlan, judge
from foresight.diagnostics.lewm import LeWMForecaster
from foresight.envs.registry import EnvConfig
from foresight.evaluation.assess import assess_policy
from foresight.evaluation.baselines import paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import (
    LEVEL,
    Row,
    Summary,
    condition_difference,
    wilson_interval,
)
from foresight.perception.encoder import load_encoder
from foresight.pipelines.lewm import learn_lewm
from foresight.pipelines.predictor import learn_predictor
from foresight.pipelines.predictor_tracks import predictor_tracks
from foresight.planning.lewm import FAST_PLAN, LeWMPlan
from foresight.policies.lewm import LeWMFactory
from foresight.policies.predictor import PredictorFactory
from foresight.policies.registry import MakePolicy
from foresight.rollout.collect import collect, plan_episodes
from foresight.training.experience import load_split
from foresight.training.predictor.train import PredictorTraining
from foresight.worldmodel.lewm.config import sizes_of
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.predictor.config import PAST
from studies.jepa_design.designs import BASE, EVERY, Budget, Training, equal_compute
from studies.registry import Request

TASK, CAMERA = "tworoom/point", "view"
PROTOCOL, RECORDED = "first-success", "whole"
SHOWN_BY = ("noisy:0.6,40:wanderer",)
"""The expert goes on from goal to goal, disturbed, and now and then noise alone decides."""
MOST_TRAINING = 100
"""Training episodes for the mean embedding."""
DRAWS = 2000
"""Of episodes, for the interval of a rank correlation."""


@dataclass(frozen=True)
class DesignConfig:
    """How much is recorded, learned, judged and measured."""

    episodes: int = 300
    recorded_steps: int | None = None
    """Cut them short (smoke runs)."""
    budget: Budget = field(default_factory=Budget)
    horizons: tuple[int, ...] = (1, 3, 5)
    """Frames ahead that are judged."""
    judged: int = 30
    """Held-out episodes at most."""
    plan: LeWMPlan = field(
        default_factory=lambda: replace(FAST_PLAN, samples=64, elites=8, iterations=4)
    )
    """The search, the same for all."""
    seeds: int = 100
    """Starts, seeds 0, 1, …, the same for all; none is solved already."""
    steps: int | None = None
    """Cut evaluation episodes short (smoke runs)."""


def presets() -> dict[str, DesignConfig]:
    """The named sizes."""
    full = DesignConfig()
    short = replace(full, budget=replace(full.budget, updates=2500), seeds=40)
    own = full.budget.end_to_end
    smoke = replace(
        full,
        episodes=12,
        recorded_steps=60,
        budget=replace(
            full.budget,
            updates=2,
            batch=2,
            checks=1,
            end_to_end=replace(own, directions=16, fit=replace(own.fit, batch=4)),
        ),
        horizons=(1, 2),
        plan=replace(FAST_PLAN, samples=8, elites=2, iterations=1),
        seeds=2,
        steps=6,
    )
    return {"full": full, "short": short, "smoke": smoke}


def run(config: DesignConfig, request: Request) -> Result:
    """Go all stages of every design; what is finished is not done again.

    Rows: episodes of every design and of ``expert``, ``random`` and ``zero``; for every design
    ``updates`` and ``gigaflop`` of each of them. The summary adds ``success/<design>``,
    ``minus-base/<design>`` (paired by start), ``skill/<design>@h<frames>`` in the space that the
    design predicts in, ``actions/<design>@h<frames>`` (true minus shuffled actions, centred cosine)
    and ``rank-correlation/<skill or actions>@h<frames>`` with success over the designs.
    """
    folder = request.folder
    console.print(f"[bold]{TASK}[/]: record")
    eyes = load_encoder(request.encoder, request.device)
    store = _recorded(config, eyes.image_size, folder / "data", request.processes)
    frames = sum(-(-length // EVERY) for length in store.lengths)
    actions, states = len(store.spec.action), len(store.spec.state)
    plans = equal_compute(config.budget, eyes, frames, actions, states)
    book = EpisodeCache(folder / "rows.jsonl")
    rows: list[Row] = []
    summary: Summary = {}
    seen: dict[str, dict[str, float]] = {}
    for name, (training, flops) in plans.items():
        console.print(f"{name}: {training.fit.updates:,} updates")
        done = _Design(name, training, store, folder, request)
        done.learn()
        told = done.judged(config)
        summary |= _told(name, told)
        seen[name] = {k: v["mean"] for k, v in _measures(told).items()}
        rows += [
            _row("updates", name, training.fit.updates),
            _row("gigaflop", name, flops / 1e9),
        ]
        rows += assess_policy(done.trial(config), name, done.maker(config), book).rows
    env = EnvConfig(TASK, protocol=PROTOCOL, size=eyes.image_size)
    trial = EvalConfig(env, tuple(range(config.seeds)), config.steps, request.processes)
    rows += paired_baselines(trial, ("expert", "random", "zero"), book)
    summary |= orders(rows, seen)
    return make_result("jepa-design", asdict(config), PROTOCOL, rows, summary)


class _Design:
    """One model, from its training to what is measured of it."""

    def __init__(
        self, name: str, training: Training, store: Dataset, folder: Path, request: Request
    ) -> None:
        self.name, self.training, self.store = name, training, store
        self.folder, self.cache, self.data = folder / name, folder / "cache", folder / "data"
        self.request = request

    def learn(self) -> None:
        if isinstance(self.training, PredictorTraining):
            fit = replace(self.training.fit, device=self.request.device)
            training = replace(self.training, fit=fit)
            encoder = self.request.encoder
            learn_predictor(self.store, encoder, training, self.folder, self.cache, CAMERA)
        else:
            learn_lewm(self.store, self.training, self.folder, self.cache, [CAMERA])

    def judged(self, config: DesignConfig) -> Judgement:
        """On held-out episodes, beside persistence and other episodes' actions."""
        plan = JudgePlan(config.horizons, first=PAST - 1)
        if isinstance(self.training, PredictorTraining):
            device = self.request.device
            found = predictor_tracks(
                self.folder, self.store, self.data, config.judged, device, self.cache
            )
            mean = torch.cat([one.features for one in found.training]).mean(0)
            return judge(
                found.forecaster,
                found.tracks,
                found.episodes,
                found.recorded,
                mean,
                plan=plan,
            )
        forecaster = LeWMForecaster(LeWorldModel.load(self.folder))
        taken, offsets = self.store.column("action"), self.store.offsets
        split = load_split(self.folder)
        assert split is not None
        tracks = [
            forecaster.track(self.store.frames(i, CAMERA), taken[offsets[i] : offsets[i + 1]])
            for i in range(len(self.store))
        ]
        recorded = [Recorded(one.controls) for one in tracks]
        mean = torch.cat([tracks[i].features for i in split[0][:MOST_TRAINING]]).mean(0)
        chosen = split[1][: config.judged]
        return judge(forecaster, [tracks[i] for i in chosen], chosen, recorded, mean, plan=plan)

    def trial(self, config: DesignConfig) -> EvalConfig:
        """Its episodes, with pictures of the size that it sees."""
        size = self.store.spec.cameras[CAMERA][0]
        if not isinstance(self.training, PredictorTraining):
            size = sizes_of(self.training.size).image
        env = EnvConfig(TASK, protocol=PROTOCOL, size=size)
        return EvalConfig(env, tuple(range(config.seeds)), config.steps, self.request.processes)

    def maker(self, config: DesignConfig) -> MakePolicy:
        """Its planner."""
        if isinstance(self.training, PredictorTraining):
            return PredictorFactory(str(self.folder), config.plan, self.request.device)
        return LeWMFactory(str(self.folder), config.plan)


def _recorded(config: DesignConfig, size: int, folder: Path, workers: int) -> Dataset:
    env = EnvConfig(TASK, protocol=RECORDED, cameras=(CAMERA,), size=size)
    plan = plan_episodes(env, config.episodes, SHOWN_BY, max_steps=config.recorded_steps)
    collect(folder, plan, workers)
    return Dataset.open(folder)  # what was just written has another fingerprint than what is read


def _measures(told: Judgement) -> Summary:
    """Skill, and what actions add, at every horizon; where nothing moves there is none."""
    found: Summary = {}
    for h in told.horizons:
        skill = told.skill(MODEL, h)
        if skill is not None:
            found[f"skill@h{h}"] = skill.as_dict()
        found[f"actions@h{h}"] = told.difference(MODEL, SHUFFLED, h).as_dict()
    return found


def _told(name: str, told: Judgement) -> Summary:
    return {
        f"{measure.replace('@', f'/{name}@')}": value for measure, value in _measures(told).items()
    }


def orders(rows: Sequence[Row], seen: Mapping[str, Mapping[str, float]]) -> Summary:
    """Success of every condition, and whether what is seen offline orders the designs alike.

    Args:
        rows: episodes of all conditions.
        seen: of each design, its measures on held-out episodes.

    Returns:
        ``success/…`` (Wilson), ``minus-base/…`` and ``rank-correlation/<measure>``: Spearman's,
        with a percentile interval over draws of the starts, which are the same for all designs. A
        draw in which all designs succeed equally often has none and is left out.
    """
    episodes = [row for row in rows if "measure" not in row]
    task = str(episodes[0]["task"])
    done: dict[str, dict[int, bool]] = {}
    for row in episodes:
        done.setdefault(str(row["condition"]), {})[int(row["seed"])] = bool(row["success"])
    found: Summary = {}
    for name, each in done.items():
        found[f"success/{name}"] = wilson_interval(sum(each.values()), len(each)).as_dict()
        if name in seen and name != BASE:
            found[f"minus-base/{name}"] = condition_difference(episodes, task, name, BASE).as_dict()
    starts = sorted(done[next(iter(seen))])
    solved = np.array([[done[name][seed] for seed in starts] for name in seen], dtype=float)
    for measure in dict.fromkeys(key for each in seen.values() for key in each):
        told = np.array([each.get(measure, np.nan) for each in seen.values()])
        if np.isfinite(told).all():
            found[f"rank-correlation/{measure}"] = rank_correlation(told, solved)
    return found


def rank_correlation(told: np.ndarray, solved: np.ndarray) -> dict[str, float]:
    """Spearman's correlation of ``told [D]`` and the rates of ``solved [D, starts]``.

    ``n`` is the number of designs. Where it is not defined, all rates being alike, it is 0.
    """
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, solved.shape[1], size=(DRAWS, solved.shape[1]))
    each = [_spearman(told, solved[:, picked].mean(1)) for picked in drawn]
    whole, known = _spearman(told, solved.mean(1)), [value for value in each if isfinite(value)]
    if not isfinite(whole) or not known:
        return {"mean": 0.0, "low": -1.0, "high": 1.0, "n": len(told)}
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(known, [tail, 1 - tail])
    return {"mean": whole, "low": float(low), "high": float(high), "n": len(told)}


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(spearmanr(a, b).statistic)


def _row(measure: str, design: str, value: float) -> Row:
    return {"measure": measure, "task": design, "value": float(value)}


def reproduce(request: Request) -> Result:
    """Learn, judge and plan with every design.

    Raises:
        ForesightError: as `run`.
    """
    config = replace(presets()[request.preset], **request.given("seeds", "episodes"))
    return run(config, request)
