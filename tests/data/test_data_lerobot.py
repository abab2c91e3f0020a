"""Datasets of the real LeRobot recorder: values and frames as its own reader returns them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from foresight.data.dataset import Dataset

FOLDER = Path(__file__).parent / "lerobot"
NAMES = ["two-cameras", "many-short-episodes", "images-in-parquet"]


def expected(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.expected.json").read_text())


def samples() -> list:
    return [
        pytest.param(name, sample, id=f"{name}-{sample['index']}")
        for name in NAMES
        for sample in expected(name)["samples"]
    ]


def time_bar(frame: np.ndarray) -> int:
    """Length in pixels of the light bar on top of the picture, which grows with time."""
    return int((frame[1].mean(1) > 128).sum())


@pytest.mark.parametrize("name", NAMES)
def test_what_a_dataset_holds(name):
    known, dataset = expected(name), Dataset.open(FOLDER / name)
    assert len(dataset) == known["episodes"]
    assert dataset.offsets[-1] == known["frames"]
    assert dataset.spec.fps == known["fps"]
    assert len(dataset.column("action")) == known["frames"]
    assert dataset.spec.tasks == tuple(dataset.tasks)


@pytest.mark.parametrize(("name", "sample"), samples())
def test_values_and_frames_are_those_of_lerobot(name, sample):
    dataset = Dataset.open(FOLDER / name)
    row = int(np.flatnonzero(dataset.column("index") == sample["index"])[0])
    i = int(np.searchsorted(dataset.offsets, row, side="right")) - 1
    step = row - int(dataset.offsets[i])
    assert dataset.metas[i].index == sample["episode_index"]
    assert dataset.task(i) == sample["task"]
    assert dataset.column("timestamp")[row] == np.float32(sample["timestamp"])
    np.testing.assert_allclose(dataset.column("observation.state")[row], sample["state"], atol=1e-6)
    np.testing.assert_allclose(dataset.column("action")[row], sample["action"], atol=1e-6)
    for camera in dataset.spec.cameras:
        frame = dataset.frames(i, camera, step, step + 1)[0]
        assert np.abs(frame.mean((0, 1)) - sample[camera]["mean_rgb"]).max() < 0.05
        assert np.array_equal(dataset.frames(i, camera)[step], frame)
        assert abs(time_bar(frame) - sample[camera]["time_bar_px"]) <= 1  # not a neighbour's


@pytest.mark.parametrize("name", NAMES)
def test_every_frame_is_at_its_step(name):
    """The bar grows by the same length each step, from nothing to the whole width."""
    dataset = Dataset.open(FOLDER / name)
    for i, length in enumerate(dataset.lengths):
        for camera, (_, width) in dataset.spec.cameras.items():
            bars = np.array([time_bar(frame) for frame in dataset.frames(i, camera)])
            steps = np.linspace(0, width, length)
            assert np.abs(bars - steps).mean() < 1  # a frame off makes it 2 or more
