"""What ``foresight drift`` does: clips or a dataset, a model, and the drift of one on the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.clip import fit_frames, read_clip
from foresight.data.dataset import Dataset
from foresight.data.layout import INFO_PATH
from foresight.data.windows import split_episodes
from foresight.diagnostics.drift import HORIZONS, Forecaster, Track, drift
from foresight.diagnostics.forecasters import ACForecaster, WorldModelForecaster
from foresight.evaluation.results import Result, make_result
from foresight.perception.ac import load_ac
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_dataset
from foresight.perception.stream import FeatureStream
from foresight.worldmodel.model import WorldModel

MEAN_EPISODES = 50


@dataclass(frozen=True)
class DriftConfig:
    """Which model, and how it is measured."""

    model: Path | None = None
    """Folder of a trained world model."""
    ac: Path | None = None
    """Or a V-JEPA 2-AC checkpoint, such as vjepa2-ac-vitg.pt."""
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
    every: int = 1
    """Keep each so many-th frame of a clip (V-JEPA 2-AC was trained at 4 frames a second)."""
    frames: int | None = None
    """Most frames of a clip."""
    poses: Path | None = None
    """With --ac and a clip: .npy [T, 7] of position, Euler angles and gripper of its kept frames;
    actions are their differences."""


@dataclass
class _Measured:
    """What is to be measured, and what to say about it."""

    forecaster: Forecaster
    tracks: list[Track]
    mean: Tensor | None = None
    notes: list[str] = field(default_factory=list)


def measure(source: Path, config: DriftConfig) -> Result:
    """Drift on a clip (a file) or a dataset (a folder); notes stand in the configuration.

    Raises:
        ForesightError: no model or two of them, or anything that cannot be read or does not fit.
    """
    if (config.model is None) == (config.ac is None):
        raise ForesightError(
            "Drift needs one model: give --model with the folder of a world model, or --ac with a "
            "V-JEPA 2-AC checkpoint, and not both."
        )
    dataset = source.is_dir()
    if dataset and not (source / INFO_PATH).is_file():
        raise ForesightError(
            f"{source} is not a dataset: give a folder that `foresight collect` wrote, a video "
            "file or .npy frames."
        )
    store = Dataset.open(source) if dataset else None
    found = _world_model(source, store, config) if config.model else _ac(source, store, config)
    if len(found.tracks) == 1 and found.mean is None:
        found.notes.append("One clip alone is centred by its own mean feature.")
    rows = drift(found.forecaster, found.tracks, config.horizons, config.starts, found.mean)
    settings = {"source": str(source), "drift": config, "notes": found.notes}
    return make_result("drift", settings, "none", rows)


def _world_model(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    assert config.model is not None
    model = WorldModel.load(config.model)
    forecaster = WorldModelForecaster(model)
    eyes = EncoderConfig(
        config.encoder or model.config.encoder,
        config.readout or model.config.readout,
        config.device,
    )
    encoder, readout = eyes.load()
    model.expect_encoder(encoder.fingerprint, readout.fingerprint)
    if store is None:
        clip = fit_frames(read_clip(source, config.every, config.frames), encoder.image_size)
        features = FeatureStream(encoder, readout).episode(clip)
        still = np.zeros((len(clip), model.config.actions), np.float32)
        note = "A clip says nothing of actions: zero actions are assumed."
        return _Measured(forecaster, [forecaster.track(features, still)], notes=[note])
    cache = encode_dataset(store, encoder, readout, source.parent / "cache")
    actions = np.asarray(store.column("action"), np.float32)

    def track(episode: int) -> Track:
        rows = slice(cache.offsets[episode], cache.offsets[episode + 1])
        return forecaster.track(
            cache.episode(episode).reshape(-1, model.state.step_features), actions[rows]
        )

    chosen, notes, mean = list(range(len(store))), [], None
    if store.fingerprint == model.config.dataset_fingerprint:
        training, chosen = split_episodes(len(store), 0.1, 0)
        notes.append("The model was trained on this dataset: only held-out episodes are used.")
        # Enough for a mean; all of them would have to be held at once.
        mean = torch.cat([track(i).features for i in training[:MEAN_EPISODES]]).mean(0)
    chosen = chosen[: config.episodes]
    return _Measured(forecaster, [track(i) for i in chosen], mean, notes)


def _ac(source: Path, store: Dataset | None, config: DriftConfig) -> _Measured:
    assert config.ac is not None
    model = load_ac(
        config.ac, config.device, encoder=config.encoder, allow_foreign=config.allow_foreign
    )
    forecaster, size = ACForecaster(model), model.encoder.image_size
    if store is None:
        clip = fit_frames(read_clip(source, config.every, config.frames), size)
        poses = _poses(config.poses) if config.poses else None
        notes = [] if config.poses else ["No poses given: zero actions at a constant pose."]
        return _Measured(forecaster, [forecaster.track(clip, poses)], notes=notes)
    tracks = []
    for episode in range(min(len(store), config.episodes)):
        frames = store.frames(episode)[:: config.every][: config.frames]
        tracks.append(forecaster.track(fit_frames(frames, size)))
    note = "The dataset's actions are no robot poses: zero actions at a constant pose."
    return _Measured(forecaster, tracks, notes=[note])


def _poses(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ForesightError(
            f"{path} cannot be read as poses ({error}): save [T, 7] numbers with numpy."
        ) from error
