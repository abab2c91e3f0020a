"""Drift of models that learned by acting: at their own rate, on what they were trained on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.pipelines import drift
from foresight.policies.mpc import hold_of
from foresight.training.run_data import load_replay
from foresight.worldmodel.model import WorldModel

pytestmark = pytest.mark.slow


def tracks_of(folder, model):
    found = drift._world_model(folder, Dataset.open(folder), drift.DriftConfig(model, episodes=2))
    return found.tracks, found.notes


def recorded_again(run, folder, rate):
    """The run's first episodes as a camera of another rate has them, its actions held."""
    own = Dataset.open(run / "data")
    spec = replace(own.spec, fps=own.spec.fps * rate)
    with Dataset.open_or_create(folder, spec) as dataset:
        for episode in (own.episode(i) for i in range(2)):
            images = {name: np.repeat(f, rate, 0) for name, f in episode.images.items()}
            for frames in images.values():
                frames[1::rate] = 255 - frames[1::rate]  # between two decisions nobody looks
            parts = {
                name: np.repeat(getattr(episode, name), rate, 0)
                for name in ("state", "action", "reward")
            }
            dataset.append(
                replace(episode, images=images, fps=spec.fps, columns={}, info={}, **parts)
            )
    return folder


def test_a_model_is_measured_on_the_decisions_that_it_learned(tiny_learned, tmp_path):
    model = tiny_learned / "model"
    replay = load_replay(WorldModel.load(model), tiny_learned)
    tracks, notes = tracks_of(tiny_learned / "data", model)
    assert any("has learned from these" in note for note in notes)
    for number, track in enumerate(tracks):
        rows = replay.rows(number)
        torch.testing.assert_close(track.inputs, replay.states[rows], atol=0.02, rtol=0)
        torch.testing.assert_close(track.controls, replay.actions[rows])
    # A dataset of twice the rate shows the same decisions at every second step.
    again, notes = tracks_of(recorded_again(tiny_learned, tmp_path / "twice", 2), model)
    assert any("every 2th step" in note for note in notes)
    for one, other in zip(tracks, again, strict=True):
        torch.testing.assert_close(one.inputs, other.inputs, atol=0.02, rtol=0)
        torch.testing.assert_close(one.controls, other.controls)
    slow = Dataset.open(tiny_learned / "data")
    with pytest.raises(ForesightError, match="whole multiple"):
        hold_of(WorldModel.load(model), replace(slow.spec, fps=slow.spec.fps * 1.5))
