"""A world model's latent states over the episodes of a dataset, at the model's own rate."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from foresight.core.observation import STATE_KEY
from foresight.data.dataset import Dataset
from foresight.data.windows import held_actions, split_episodes
from foresight.diagnostics.actions import Recorded
from foresight.diagnostics.drift import Track
from foresight.diagnostics.forecasters import WorldModelForecaster
from foresight.perception.config import EncoderConfig
from foresight.perception.encode import encode_cameras
from foresight.policies.mpc import hold_of
from foresight.training.experience import load_split
from foresight.training.run_data import DATA, look
from foresight.worldmodel.model import WorldModel

PARTS = ("action",)
"""What a model and a dataset have to agree in."""
WHOLE = "tokens"
"""Readout of models that were trained on whole tokens."""
HELD_OUT = 0.1
"""Share of the episodes held out, where a training told of no split."""


class LookedAt:
    """A trained world model with the eyes that it was trained with.

    Args:
        folder: of its checkpoint.
        encoder: another name of its encoder.
        readout: another readout than the one that it names.
        device: where the encoder runs.

    Raises:
        ForesightError: no such checkpoint, or another encoder than its own.
    """

    def __init__(
        self,
        folder: Path,
        encoder: str | None = None,
        readout: str | None = None,
        device: str = "cpu",
    ) -> None:
        self.folder, self.model = folder, WorldModel.load(folder)
        config = self.model.config
        eyes = EncoderConfig(encoder or config.encoder, readout or config.readout or WHOLE, device)
        self.encoder, self.readout = eyes.load()
        # A model that saw the tokens of its own decisions has no readout to compare.
        told = self.readout.fingerprint if config.readout_fingerprint else None
        config.expect_encoder(self.encoder.fingerprint, told)


class DatasetTracks:
    """Episodes as a world model sees them, and which of them it has not learned from.

    Attributes:
        forecaster: the model.
        cameras: of the dataset, in the model's order.
        every: steps of the dataset for one decision of the model.
        training: episodes that the model was trained on; empty where it was trained on others.
        held_out: the other ones.
        notes: what a reader of numbers on these episodes has to know.

    Args:
        looked: model and eyes.
        store: the dataset.
        source: its folder; features are kept in ``cache/`` beside it.

    Raises:
        ForesightError: a dataset of another robot or rate.
    """

    def __init__(self, looked: LookedAt, store: Dataset, source: Path) -> None:
        self.looked, self.store = looked, store
        model = looked.model
        config = model.config
        self.forecaster = WorldModelForecaster(model)
        known = [camera.name for camera in config.cameras]
        same = set(known) <= set(store.spec.cameras)
        self.cameras = known if same else list(store.spec.cameras)[:1]
        if config.spec is not None:
            whose = f"The model {looked.folder}"
            config.spec.expect(store.spec, whose, f"the dataset {source}", PARTS)
        column = np.asarray(store.column("action"), np.float32)
        self._actions = column.reshape(-1, len(store.spec.action))
        self._proprio = (
            np.asarray(store.column(STATE_KEY), np.float32) if model.state.proprio else None
        )
        self.every = 1 if config.readout else hold_of(model, store.spec)
        self._caches = {}
        if self.every == 1:
            self._caches = encode_cameras(
                store, looked.encoder, looked.readout, source.parent / "cache", self.cameras
            )
        self.training: list[int] = []
        self.held_out, self.notes = list(range(len(store))), list[str]()
        if self.every > 1:
            self.notes.append(
                f"The model decides at every {self.every}th step: only those are looked at, and "
                "actions in between are averaged."
            )
        if source.resolve() == (looked.folder.parent / DATA).resolve():
            self.notes.append("The model has learned from these episodes.")
        if store.fingerprint == config.dataset_fingerprint:
            split = load_split(looked.folder) or split_episodes(len(store), HELD_OUT, 0)
            self.training, self.held_out = list(split[0]), list(split[1])
            self.notes.append(
                "The model was trained on this dataset: only held-out episodes are used."
            )

    def track(self, episode: int) -> Track:
        """Latent states, features and actions of an episode."""
        rows = slice(self.store.offsets[episode], self.store.offsets[episode + 1])
        taken = self._actions[rows]
        own = None if self._proprio is None else self._proprio[rows]
        if self.every == 1:
            seen = [cache.episode(episode) for cache in self._caches.values()]
            return self.forecaster.track(seen, taken, own)
        features, held = self._decisions(episode, taken)
        return self.forecaster.track(features, held, None if own is None else own[:: self.every])

    def recorded(self) -> list[Recorded]:
        """The actions of all episodes, as the model is told of them, and their tasks."""
        found = []
        for episode, (first, end) in enumerate(pairwise(self.store.offsets.tolist())):
            taken = held_actions(self._actions[first:end], self.every)
            told = self.looked.model.normalised(torch.from_numpy(taken))
            found.append(Recorded(told, self.store.task(episode)))
        return found

    def frames(self, episode: int, camera: str) -> UInt8[np.ndarray, "T H W 3"]:
        """The pictures that belong to the steps of a track."""
        return self.store.frames(episode, camera)[:: self.every]

    def _decisions(
        self, episode: int, taken: Float32[np.ndarray, "T A"]
    ) -> tuple[list[np.ndarray], Float32[np.ndarray, "D A"]]:
        """Features at the model's decisions, and their actions.

        A token shows two decisions: frames in between are not those that the model was trained on.
        """
        every, shown = self.every, self.store.episode(episode)
        images = {name: shown.images[name][::every] for name in self.cameras}
        held = held_actions(taken, every)
        thin = replace(
            shown, images=images, action=held, state=shown.state[::every], reward=None, columns={}
        )
        encoder = self.looked.encoder
        return [look(encoder, [thin], [name])[0].float().numpy() for name in self.cameras], held
