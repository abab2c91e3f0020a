"""What ``foresight drift`` does: clips or a dataset, a model, and the drift of one on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foresight.core.checkpoint import read_header
from foresight.core.errors import ForesightError
from foresight.data.clip import fit_frames, read_clip
from foresight.data.dataset import Dataset
from foresight.data.layout import INFO_PATH
from foresight.diagnostics.actions import ActionPlan, Recorded, action_rows
from foresight.diagnostics.drift import HORIZONS, Forecaster, Track, drift, other_means
from foresight.diagnostics.forecasters import ACForecaster, WorldModelForecaster
from foresight.diagnostics.judge import Judgement, JudgePlan, judge
from foresight.diagnostics.lewm import LeWMForecaster
from foresight.diagnostics.linear import LinearConfig, LinearModel
from foresight.diagnostics.planned import planned_displacement
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.perception.ac import load_ac
from foresight.perception.ac_data import robot_of
from foresight.perception.encode import chosen_cameras
from foresight.perception.pose import WIDTH
from foresight.perception.stream import FeatureStream
from foresight.pipelines.ac_tracks import ACTracks, ac_tracks, tuned_tracks
from foresight.pipelines.predictor_tracks import predictor_tracks
from foresight.pipelines.tracks import DatasetTracks, LookedAt
from foresight.training.experience import load_split
from foresight.worldmodel.lewm.model import TYPE as LEWM
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.predictor.checkpoint import KIND

MEAN_EPISODES = 50
AC_BATCH = 16
"""Sequences that V-JEPA 2-AC imagines at once: at full size a frame's cache takes 50 MB in each."""
POSE = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")


@dataclass(frozen=True)
class DriftConfig:
    """Which model, and how it is measured."""

    model: Path | None = None
    """Folder of a trained world model, frame-causal predictor, or LeWorldModel, whose steps are
    blocks of actions."""
    ac: Path | None = None
    """Or a V-JEPA 2-AC checkpoint, such as vjepa2-ac-vitg.pt, or the folder of one that was tuned
    by `foresight train --policy ac`."""
    encoder: str | None = None
    """Encoder; the one that the model names, or the AC checkpoint's own, if not given."""
    allow_foreign: bool = False
    """Let an AC predictor work on another encoder's tokens: an experiment."""
    readout: str | None = None
    """Readout; the one that the world model was trained on if not given."""
    device: str = "cpu"
    """Where encoder and AC predictor run."""
    horizons: tuple[int, ...] = HORIZONS
    """Steps ahead; those that do not fit are left out."""
    episodes: int = 20
    """Most episodes of a dataset."""
    starts: int = 16
    """Windows per clip or episode."""
    samples: int = 32
    """Sequences of each kind among which the demonstrated actions are ranked; 0 asks nothing about
    actions."""
    every: int = 1
    """Keep each so many-th frame of a clip (V-JEPA 2-AC was trained at 4 frames a second)."""
    frames: int | None = None
    """Most frames of a clip."""
    poses: Path | None = None
    """With --ac and a clip: .npy [T, 7] of position, Euler angles and gripper of its kept frames;
    actions are their differences."""
    pose: tuple[str, ...] = ()
    """With --ac and a dataset: names of seven numbers of observation.state, in the order x, y, z
    (metres), three Euler angles (radians), gripper; actions are their changes."""
    plans: int = 0
    """With --poses: also plan from so many of the frames to those 2 frames later, and compare with
    how the gripper moved. At full size a plan takes minutes on a processor."""


@dataclass
class _Measured:
    """What is to be measured, and what to say about it."""

    forecaster: Forecaster
    tracks: Sequence[Track]
    mean: Tensor | None = None
    notes: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    """What was measured beside drift."""
    known: Known | None = None
    """What was done, where that is known."""
    training: Sequence[Track] = ()
    """Other episodes than the judged ones: their mean centres, a linear model is fitted on them."""
    step_seconds: float = 1.0
    first: int = 0
    """Steps before the first beginning: past that the model sees."""
    brief: bool = False
    """Judged alone: every forecast costs too much for the rest."""


@dataclass(frozen=True)
class Known:
    """The actions of all episodes; see `action_rows`."""

    episodes: list[int]
    recorded: list[Recorded]
    names: tuple[str, ...]
    batch: int = 256


def measure(source: Path, config: DriftConfig) -> Result:
    """Drift on a clip (a file) or a dataset (a folder); notes stand in the configuration.

    Raises:
        ForesightError: no model or two of them, or anything that cannot be read or does not fit.
    """
    if config.plans and (config.ac is None or config.poses is None):
        raise ForesightError(
            f"--plans {config.plans} compares plans of V-JEPA 2-AC with how a gripper moved: give "
            "--ac, a clip and its --poses, too."
        )
    if (config.model is None) == (config.ac is None):
        raise ForesightError(
            "Drift needs one model: give --model with the folder of a world model, or --ac with a "
            "V-JEPA 2-AC checkpoint, and not both."
        )
    dataset = source.is_dir()
    if dataset and not (source / INFO_PATH).is_file():
        raise ForesightError(
            f"{source} is not a dataset: give the folder of a LeRobot dataset, a video file or "
            ".npy frames."
        )
    store = Dataset.open(source) if dataset else None
    found = _found(source, store, config)
    if len(found.tracks) == 1 and found.mean is None and not found.training:
        found.notes.append("One clip alone is centred by its own mean feature.")
    rows, summary = found.rows, {}
    if not found.brief:
        rows += drift(found.forecaster, found.tracks, config.horizons, config.starts, found.mean)
    if found.known is not None:
        if config.samples and not found.brief:
            known = found.known
            plan = ActionPlan(config.horizons, config.starts, config.samples, known.batch)
            rows += action_rows(
                found.forecaster, found.tracks, known.episodes, known.recorded, known.names, plan
            )
        judgement = _judged(found, found.known, config)
        rows += judgement.rows()
        summary = judgement.summary()
        found.notes.append(judgement.verdict())
    settings = {"source": str(source), "drift": config, "notes": found.notes}
    settings["step_seconds"] = found.step_seconds
    return make_result("drift", settings, "none", rows, summary)


def _found(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    if config.model is None:
        return _ac(source, store, config)
    kind = read_header(config.model).type
    if kind == LEWM:
        return _lewm(source, store, config)
    if kind != KIND:
        return _world_model(source, store, config)
    if store is None:
        raise ForesightError(
            f"{config.model} is told of actions, of which the clip {source} says nothing: give a "
            "dataset."
        )
    seen = predictor_tracks(config.model, store, source, config.episodes, config.device)
    known = Known(seen.episodes, seen.recorded, tuple(axis.name for axis in store.spec.action))
    return _Measured(
        seen.forecaster,
        seen.tracks,
        notes=seen.notes,
        known=known,
        training=seen.training,
        step_seconds=seen.step_seconds,
        first=seen.first,
        brief=True,
    )


def _judged(found: _Measured, known: Known, config: DriftConfig) -> Judgement:
    """The model beside what needs none, on the same beginnings."""
    actions = len(known.names)
    longest = max(len(one.controls) for one in found.tracks) - found.first - 1
    horizons = [h for h in config.horizons if h <= min(longest, found.forecaster.limit or longest)]
    linear, mean = None, list[Tensor]()
    if len(found.training) > 1 and horizons:
        longest = max(len(one.controls) for one in found.training) - 1
        past = LinearConfig(past=found.first + 1)
        fitting = [h for h in horizons if h <= longest]
        linear = LinearModel.fit(found.training, fitting, actions, past) if fitting else None
    centre = found.mean if linear is None else linear.mean
    if centre is None:
        mean = other_means(found.tracks)
    plan = JudgePlan(config.horizons, config.starts, found.first)
    return judge(
        found.forecaster,
        found.tracks,
        known.episodes,
        known.recorded,
        mean if centre is None else centre,
        linear,
        found.step_seconds,
        plan,
    )


def _world_model(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    assert config.model is not None
    looked = LookedAt(config.model, config.encoder, config.readout, config.device)
    if store is not None:
        tracks = DatasetTracks(looked, store, source)
        mean, chosen = None, tracks.held_out[: config.episodes]
        # Enough for a mean; all of them would have to be held at once.
        rest = tracks.training or [i for i in tracks.held_out if i not in chosen]
        training = [tracks.track(i) for i in rest[:MEAN_EPISODES]]
        if tracks.training:
            mean = torch.cat([one.features for one in training]).mean(0)
        found = [tracks.track(i) for i in chosen]
        names = tuple(axis.name for axis in store.spec.action)
        known = Known(list(chosen), tracks.recorded(), names)
        return _Measured(
            tracks.forecaster,
            found,
            mean,
            tracks.notes,
            known=known,
            training=training,
            step_seconds=tracks.every / store.spec.fps,
        )
    model, encoder = looked.model, looked.encoder
    if len(model.config.cameras) > 1 or model.state.proprio:
        raise ForesightError(
            f"{config.model} sees {len(model.config.cameras)} cameras and {model.state.proprio} "
            "numbers of the robot, which one clip does not show: give a dataset."
        )
    clip = fit_frames(read_clip(source, config.every, config.frames), encoder.image_size)
    features = FeatureStream(encoder, looked.readout).episode(clip)
    still = np.tile(np.float32(_middle(model)), (len(clip), 1))
    note = "A clip says nothing of actions: the middle of their range is assumed."
    forecaster = WorldModelForecaster(model)
    return _Measured(forecaster, [forecaster.track([features], still)], notes=[note])


def _lewm(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    assert config.model is not None
    if store is None:
        raise ForesightError(
            f"{source} is a clip, which says nothing of actions, and a LeWorldModel imagines by "
            "them: give a dataset."
        )
    model = LeWorldModel.load(config.model)
    own = store.fingerprint == model.config.dataset_fingerprint
    split = load_split(config.model) if own else None
    chosen = split[1] if split is not None else list(range(len(store)))
    forecaster, actions = (
        LeWMForecaster(model),
        store.column("action").reshape(-1, len(store.spec.action)),
    )
    tracks = []
    for i in chosen[: config.episodes]:
        first, end = store.offsets[i : i + 2]
        frames = store.frames(i, model.config.camera)
        tracks.append(forecaster.track(frames, actions[first:end]))
    note = f"A step is a block of {model.config.every} actions."
    return _Measured(forecaster, tracks, notes=[note])


def _middle(model: WorldModel) -> np.ndarray:
    return model.scaled(torch.zeros(model.config.actions)).numpy()


def _ac(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    assert config.ac is not None
    if config.ac.is_dir():
        if store is None:
            raise ForesightError(
                f"{config.ac} was tuned to a robot, of whose actions the clip {source} says "
                "nothing: give a dataset."
            )
        return _of_tracks(
            tuned_tracks(config.ac, store, source, config.episodes, config.encoder, config.device)
        )
    model = load_ac(
        config.ac, config.device, encoder=config.encoder, allow_foreign=config.allow_foreign
    )
    forecaster, size = ACForecaster(model), model.encoder.image_size
    if store is None:
        clip = fit_frames(read_clip(source, config.every, config.frames), size)
        poses = _poses(config.poses) if config.poses else None
        notes = [] if config.poses else ["No poses given: zero actions at a constant pose."]
        seen = forecaster.track(clip, poses)
        rows = planned_displacement(model.predictor, seen, config.plans) if config.plans else []
        known = None if poses is None else _of_clip(seen)
        return _Measured(forecaster, [seen], notes=notes, rows=rows, known=known)
    if config.pose:
        robot = robot_of(store, chosen_cameras(store, None)[0], config.every, config.pose)
        episodes = list(range(min(len(store), config.episodes)))
        return _of_tracks(ac_tracks(model, robot, store, source, episodes))
    tracks = []
    for episode in range(min(len(store), config.episodes)):
        frames = store.frames(episode)[:: config.every][: config.frames]
        tracks.append(forecaster.track(fit_frames(frames, size)))
    note = "Without --pose nothing is known of actions: zero actions at a constant pose."
    return _Measured(forecaster, tracks, notes=[note])


def _of_tracks(found: ACTracks) -> _Measured:
    known = Known(found.episodes, found.recorded, found.names, AC_BATCH)
    return _Measured(found.forecaster, found.tracks, notes=found.notes, known=known)


def _of_clip(seen: Track) -> Known:
    """A clip's own actions, but for the last one, which is unknown."""
    actions = seen.controls[:-1, :WIDTH].cpu()
    return Known([0], [Recorded(actions)], POSE, AC_BATCH)


def _poses(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ForesightError(
            f"{path} cannot be read as poses ({error}): save [T, 7] numbers with numpy."
        ) from error
