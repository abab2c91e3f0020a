"""Recipe ``track-b``: does a larger model of what frozen eyes will see predict better?

The source asks for predictors of 10, 100 and 300 million parameters on 50 hours of a walking robot,
judged by the cosine of predicted and true embeddings. Here sizes are compared at equal updates and
at equal compute, and every number stands beside what persistence, the mean feature and ridge
regression score. Two tracks differ in what an action is: a command to a gait, or targets of joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isnan, nan
from pathlib import Path

import torch

from foresight.core.files import read_json, write_json
from foresight.core.progress import console
from foresight.data.dataset import Dataset
from foresight.diagnostics.judge import (
    AXES,
    CEILING,
    CENTRED,
    MEASURES,
    MODEL,
    NONE,
    SHUFFLED,
    Judgement,
    JudgePlan,
    judge,
)
from foresight.diagnostics.linear import LinearConfig, LinearModel
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary
from foresight.perception.encoder import Encoder, load_encoder
from foresight.pipelines.predictor import learn_predictor
from foresight.pipelines.predictor_tracks import predictor_tracks
from foresight.training.loop import FitConfig
from foresight.training.predictor.train import PredictorTraining
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import (
    PredictorSizes,
    Size,
    named_sizes,
    window_flops,
)
from studies.registry import Request
from studies.track_b.data import Recording, hours_of, record

EQUAL = "equal-updates"
OWN = (SHUFFLED, NONE)
"""What is told of every model; all else is the same for all of them."""


@dataclass(frozen=True)
class TrackBConfig:
    """What is recorded, learned and judged."""

    tasks: tuple[str, ...] = ("spot/command", "spot/joints")
    hours: float = 5.0
    """Of each task."""
    rate: float = 10.0
    """Frames a second that the models see."""
    seconds: float = 20.0
    """Of an episode, at most."""
    policies: tuple[str, ...] = ("noisy:0.6:expert",)
    """Taken in turn."""
    sizes: tuple[Size, ...] = ("1m", "10m")
    """The last one is learned for ``updates``, the others for as many (`EQUAL`) and for as much
    compute, which is to their end."""
    updates: int = 5000
    """Of the largest size."""
    checks: int = 50
    """How often held-out episodes are looked at and the state is kept."""
    batch: int = 4
    """Windows of an update: as few as a processor allows; every token of each is predicted."""
    frames: int = 12
    """Of a window."""
    context: int = 8
    """Frames that attention sees back."""
    horizons: tuple[int, ...] = (1, 5, 10, 30)
    episodes: int = 30
    """Held-out episodes that are judged at most."""
    starts: int = 8
    """Beginnings in each."""
    linear: LinearConfig = field(default_factory=LinearConfig)


def presets() -> dict[str, TrackBConfig]:
    """The named sizes."""
    full = TrackBConfig()
    short = replace(full, hours=1.0, sizes=("1m",), updates=9000, checks=30)
    smoke = replace(
        full,
        tasks=("walker-walk",),
        hours=0.0,
        seconds=1.2,
        sizes=("tiny", "1m"),
        updates=2,
        checks=1,
        batch=2,
        rate=20.0,
        frames=4,
        horizons=(1, 5),
        starts=2,
    )
    return {"full": full, "short": short, "smoke": smoke}


@dataclass(frozen=True)
class Trained:
    """One row of the comparison."""

    name: str
    size: Size
    updates: int


def plan(config: TrackBConfig, sizes: PredictorSizes) -> list[Trained]:
    """What is learned on a track: every size at equal updates, the smaller ones at equal compute.

    Args:
        config: sizes and updates.
        sizes: of the track's data.
    """
    flops = {size: window_flops(named_sizes(size, sizes), config.frames) for size in config.sizes}
    largest, rows = config.sizes[-1], []
    for size in config.sizes[:-1]:
        longer = round(config.updates * flops[largest] / flops[size])
        rows += [
            Trained(f"{size}-{EQUAL}", size, config.updates),
            Trained(size, size, max(config.updates, longer)),
        ]
    return [*rows, Trained(largest, largest, config.updates)]


def track_name(task: str) -> str:
    """``spot/command`` is told as ``command``; others by their name."""
    return task.rpartition("/")[2]


def run(config: TrackBConfig, request: Request) -> Result:
    """Record, encode, learn and judge; what is finished is not done again.

    Rows, one for each held-out episode: ``cos-raw``, ``cos-centred`` and ``l1`` of the task
    ``<row>-<track>@h<steps>``. The summary adds ``skill/…``, the differences
    ``minus-linear/…``, ``minus-shuffled-actions/…`` and ``minus-no-actions/…`` of centred cosines,
    ``parameters/<row>``, ``updates/<row>`` and ``hours/data``. ``shuffled-actions``,
    ``no-actions`` and what they are subtracted from are the largest model's; those of another one
    bear its name.

    Raises:
        ForesightError: an unknown task, or a step that failed.
    """
    rows: list[Row] = []
    summary: Summary = {}
    notes: list[str] = []
    seconds: dict[str, float] = {}
    eyes = load_encoder(request.encoder, request.device)
    for task in config.tasks:
        track, folder = track_name(task), request.folder / track_name(task)
        console.print(f"[bold]{task}[/]: record")
        recording = Recording(task, config.hours, config.seconds, config.policies)
        store = record(recording, eyes.image_size, folder / "data", request.processes)
        rows += [_row("hours", name, hours_of(store)) for name in ("data", f"data-{track}")]
        for one, judgement, parameters in _judged(config, store, folder, request, eyes):
            rows += _measured(one, track, judgement, one.size == config.sizes[-1])
            summary |= _compared(one, track, judgement, one.size == config.sizes[-1])
            rows.append(_row("parameters", f"{one.name}-{track}", parameters))
            if task == config.tasks[0]:
                rows.append(_row("parameters", one.name, parameters))
                rows.append(_row("updates", one.name, one.updates))
            notes.append(judgement.verdict(f"{one.name} on {track}"))
            seconds[track] = judgement.step_seconds
    settings = {**asdict(config), "step_seconds": seconds, "notes": notes}
    return make_result("track-b", settings, "none", rows, summary)


def _judged(
    config: TrackBConfig, store: Dataset, folder: Path, request: Request, eyes: Encoder
) -> list[tuple[Trained, Judgement, int]]:
    """Learn and judge every row of a track."""
    every = max(1, round(store.spec.fps / config.rate))
    base = PredictorSizes(
        grid=eyes.grid,
        dim=eyes.dim,
        actions=len(store.spec.action),
        states=max(1, len(store.spec.state)),
    )
    linear: list[LinearModel] = []
    found = []
    for one in plan(config, base):
        console.print(f"{folder.name}: learn {one.name}, {one.updates:,} updates")
        training = _training(config, one, every, request.device)
        learn_predictor(store, request.encoder, training, folder / one.name, folder / "cache")
        judgement = _judge_once(config, store, folder, one, linear, request.device)
        parameters = TrainedPredictor.load(folder / one.name).config.sizes.parameters
        found.append((one, judgement, parameters))
    return found


def _training(config: TrackBConfig, one: Trained, every: int, device: str) -> PredictorTraining:
    usual = PredictorTraining()
    checks = min(config.checks, one.updates)
    fit: FitConfig = replace(
        usual.fit,
        epochs=checks,
        updates=one.updates,
        batch=config.batch,
        warmup=min(usual.fit.warmup, one.updates // 10),
        device=device,
    )
    sizes = replace(usual.sizes, context=config.context)
    return replace(usual, size=one.size, sizes=sizes, every=every, frames=config.frames, fit=fit)


def _judge_once(
    config: TrackBConfig,
    store: Dataset,
    folder: Path,
    one: Trained,
    linear: list[LinearModel],
    device: str,
) -> Judgement:
    """The judgement of a row, kept beside its checkpoint; one linear model serves a track."""
    kept = folder / one.name / "judgement.json"
    if kept.exists():
        return _read(kept)
    seen = predictor_tracks(
        folder / one.name, store, folder / "data", config.episodes, device, folder / "cache"
    )
    # Every judged row has to have room for the longest horizon in some episode.
    room = max(map(len, (one.controls for one in seen.tracks))) - seen.first - 1
    horizons = [h for h in config.horizons if h <= room]
    if not linear:
        linear.append(
            LinearModel.fit(seen.training, horizons, len(store.spec.action), config.linear)
        )
    judgement = judge(
        seen.forecaster,
        seen.tracks,
        seen.episodes,
        seen.recorded,
        linear[0].mean,
        linear[0],
        seen.step_seconds,
        JudgePlan(horizons, config.starts, seen.first),
    )
    _write(kept, judgement)
    return judgement


def _write(path: Path, judgement: Judgement) -> None:
    values = {
        f"{measure}:{condition}": [
            [None if isnan(v) else v for v in line] for line in value.tolist()
        ]
        for (measure, condition), value in judgement.values.items()
    }
    write_json(
        path, {"horizons": judgement.horizons, "step": judgement.step_seconds, "values": values}
    )


def _read(path: Path) -> Judgement:
    raw = read_json(path)
    values = {}
    for key, lines in raw["values"].items():
        measure, _, condition = key.partition(":")
        numbers = [[nan if v is None else v for v in line] for line in lines]
        values[measure, condition] = torch.tensor(numbers, dtype=torch.float32)
    return Judgement(list(raw["horizons"]), float(raw["step"]), values)


def row_names(one: Trained, judgement: Judgement, largest: bool) -> Mapping[str, str]:
    """Conditions of a judgement to the rows of the comparison."""
    found = {MODEL: one.name}
    for condition in judgement.conditions:
        if condition in OWN:
            found[condition] = f"{one.name}-{condition}"
        elif condition not in (MODEL, CEILING) and largest:
            found[condition] = CEILING if condition == AXES else condition
    return found


def _measured(one: Trained, track: str, judgement: Judgement, largest: bool) -> list[Row]:
    rows = []
    for condition, name in row_names(one, judgement, largest).items():
        for told in (name, condition) if largest and condition in OWN else (name,):
            for measure in MEASURES:
                for h in judgement.horizons:
                    values = judgement.column(measure, condition, h)
                    rows += [_row(measure, f"{told}-{track}@h{h}", value) for value in values]
    return rows


def _compared(one: Trained, track: str, judgement: Judgement, largest: bool) -> Summary:
    """Skill, and what the model is above others by."""
    found: Summary = {}
    for condition, name in row_names(one, judgement, largest).items():
        for told in (name, condition) if largest and condition in OWN else (name,):
            for h in judgement.horizons:
                skill = judgement.skill(condition, h)
                if skill is not None:
                    found[f"skill/{told}-{track}@h{h}"] = skill.as_dict()
    for rival in ("linear", *OWN):
        for h in judgement.horizons:
            if (CENTRED, rival) in judgement.values:
                less = judgement.difference(MODEL, rival, h)
                found[f"minus-{rival}/{one.name}-{track}@h{h}"] = less.as_dict()
    return found


def _row(measure: str, task: str, value: float) -> Row:
    return {"measure": measure, "task": task, "value": float(value)}


def reproduce(request: Request) -> Result:
    """Measure the tasks that are asked for; others in the result file stay."""
    config = replace(presets()[request.preset], **request.given("tasks", "hours", "episodes"))
    before = None if request.smoke else earlier(request.target, "track-b", "none")
    return beside(run(config, request), before)


def show(result: Result) -> None:
    """Print the tables."""
    from studies.track_b.tables import print_tables

    print_tables(result)
