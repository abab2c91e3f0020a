"""A dataset's episodes as a frame-causal predictor sees them, and those it may be judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from foresight.data.dataset import Dataset
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.drift import Track
from foresight.diagnostics.predictor_forecaster import PredictorForecaster, PredictorTracks
from foresight.perception.ac_data import read_ac_episodes
from foresight.perception.encoder import load_encoder
from foresight.training.experience import load_split
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import PAST

MOST_TRAINING = 200
"""Training episodes for the mean and the linear model, evenly spread."""


@dataclass
class SeenByPredictor:
    """Episodes, those of them that may be judged on, and everything that was done."""

    forecaster: PredictorForecaster
    episodes: list[int]
    tracks: Sequence[Track]
    training: Sequence[Track]
    recorded: list[Recorded]
    step_seconds: float
    first: int = PAST - 1
    notes: list[str] = field(default_factory=list)


def predictor_tracks(
    folder: Path,
    store: Dataset,
    source: Path,
    most: int,
    device: str = "cpu",
    cache: Path | None = None,
) -> SeenByPredictor:
    """Episodes for a trained predictor; of the dataset it was trained on only held-out ones.

    Args:
        folder: of its checkpoint.
        store: the dataset.
        source: its folder.
        most: judged episodes at most.
        device: where encoder and predictor run.
        cache: where tokens are kept; ``cache/`` beside the dataset if not given.

    Raises:
        ForesightError: another encoder, or a dataset of another robot.
    """
    trained = TrainedPredictor.load(folder)
    config, network = trained.config, trained.network.to(device)
    eyes = load_encoder(config.encoder, device)
    config.expect_encoder(eyes.fingerprint)
    if config.spec is not None:
        parts = ("action", "state") if config.sizes.states else ("action",)
        config.spec.expect(store.spec, f"The predictor {folder}", f"the dataset {source}", parts)
    data = read_ac_episodes(store, eyes, config.robot, cache or source.parent / "cache")
    seconds = config.robot.every / store.spec.fps
    notes = [f"The predictor sees camera {config.robot.camera!r} every {seconds:.3g} s."]
    split = load_split(folder)
    if store.fingerprint == config.dataset_fingerprint and split is not None:
        training, judged = split
        notes.append("It was trained on this dataset: only held-out episodes are used.")
    else:
        judged = list(range(len(store)))
        training = judged[most:]
    training = training[:: -(-len(training) // MOST_TRAINING)] if training else []
    states = len(config.robot.state_mean)
    chosen = judged[:most]
    recorded = [
        Recorded(data.actions[first:end, : config.sizes.actions], store.task(episode))
        for episode, (first, end) in enumerate(pairwise(data.cache.offsets.tolist()))
    ]
    return SeenByPredictor(
        PredictorForecaster(network),
        chosen,
        PredictorTracks(data, chosen, config.sizes, states),
        PredictorTracks(data, training, config.sizes, states),
        recorded,
        seconds,
        notes=notes,
    )
