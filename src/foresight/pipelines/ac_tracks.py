"""A robot's episodes as V-JEPA 2-AC sees them: as published, or tuned to that robot."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import torch

from foresight.data.dataset import Dataset
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.drift import Track
from foresight.diagnostics.forecasters import ACForecaster
from foresight.perception.ac import ACModel
from foresight.perception.ac_data import ACRobot, read_ac_episodes
from foresight.perception.ac_tuned import TunedAC
from foresight.perception.encoder import find_dtype, load_encoder
from foresight.training.experience import load_split

PARTS = ("action",)
"""What a tuned predictor and a dataset have to agree in."""


@dataclass
class ACTracks:
    """Episodes, those of them that may be judged on, and everything that was done."""

    forecaster: ACForecaster
    episodes: list[int]
    tracks: list[Track]
    recorded: list[Recorded]
    names: tuple[str, ...]
    notes: list[str] = field(default_factory=list)


def tuned_tracks(
    folder: Path,
    store: Dataset,
    source: Path,
    most: int,
    encoder: str | None = None,
    device: str = "cpu",
) -> ACTracks:
    """Episodes for a tuned predictor; of the dataset it was tuned on only held-out ones.

    Args:
        folder: of its checkpoint.
        store: the dataset.
        source: its folder; tokens are kept in ``cache/`` beside it.
        most: episodes at most.
        encoder: another name of its encoder.
        device: where encoder and predictor run.

    Raises:
        ForesightError: another encoder, or a dataset of another robot.
    """
    tuned = TunedAC.load(folder)
    config = tuned.config
    eyes = load_encoder(encoder or config.encoder, device)
    config.expect_encoder(eyes.fingerprint)
    if config.spec is not None:
        parts = ("action", "state") if config.robot.pose else PARTS
        config.spec.expect(store.spec, f"The predictor {folder}", f"the dataset {source}", parts)
    predictor = tuned.predictor.compute_in(find_dtype(None, eyes.device)).to(eyes.device)
    model = ACModel(eyes, predictor, allow_foreign=True)  # compared above
    episodes, notes = list(range(len(store))), list[str]()
    split = load_split(folder)
    if store.fingerprint == config.dataset_fingerprint and split is not None:
        episodes = split[1]
        notes.append("The predictor was tuned on this dataset: only held-out episodes are used.")
    found = ac_tracks(model, config.robot, store, source, episodes[:most])
    found.notes = notes + found.notes
    return found


def ac_tracks(
    model: ACModel, robot: ACRobot, store: Dataset, source: Path, episodes: list[int]
) -> ACTracks:
    """Episodes as ``robot`` says; see `tuned_tracks`."""
    data = read_ac_episodes(store, model.encoder, robot, source.parent / "cache", episodes)
    names = robot.names(store.spec)
    offsets = data.cache.offsets.tolist()
    controls = torch.cat([data.actions, data.states], dim=1)
    dim, device = model.encoder.dim, model.encoder.device
    tracks = []
    for episode in episodes:
        tokens = torch.from_numpy(data.cache.episode(episode).astype("float32")).to(device)
        tokens = tokens.view(len(tokens), -1, dim)
        own = controls[offsets[episode] : offsets[episode + 1]]
        tracks.append(Track(tokens, tokens, own.to(device)))
    # Of a pose the last action is unknown.
    cut = 1 if robot.pose else 0
    recorded = [
        Recorded(data.actions[first : end - cut, : len(names)], store.task(episode))
        for episode, (first, end) in enumerate(pairwise(offsets))
    ]
    rate = store.spec.fps / robot.every
    notes = [f"V-JEPA 2-AC sees camera {robot.camera!r} {rate:.3g} times a second."]
    return ACTracks(
        ACForecaster(model, held=not robot.pose), episodes, tracks, recorded, names, notes
    )
