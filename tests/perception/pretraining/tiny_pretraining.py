"""Small datasets without a simulator, and small settings, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from foresight.core.episode import Episode
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.perception.pretraining.config import PredictorConfig, PretrainConfig

SIZE = 16


def make_dataset(folder, paint, lengths, *, task="reacher-easy", camera="front", frames=True):
    """A dataset whose episode ``i`` has the frames and state ``paint(i, steps)``."""
    episodes = [paint(i, steps) for i, steps in enumerate(lengths)]
    pictures, state = episodes[0]
    cameras = {camera: pictures.shape[1:3]} if frames else {}
    axes = numbered_axes("state", state.shape[1]), numbered_axes("action", 1)
    with Dataset.create(folder, Spec(cameras, *axes, fps=50)) as dataset:
        for pictures, state in episodes:
            dataset.append(
                Episode(
                    images={camera: pictures} if frames else {},
                    state=state.astype(np.float32),
                    action=np.zeros((len(pictures), 1), np.float32),
                    reward=None,
                    terminated=False,
                    task=task,
                    fps=50,
                )
            )
    return Dataset.open(folder)


def numbered(i, steps, size=SIZE):
    """Red tells the episode, green the step, blue the place in the picture."""
    frames = np.zeros((steps, size, size, 3), np.uint8)
    frames[..., 0] = 7 * i
    frames[..., 1] = np.arange(steps)[:, None, None]
    frames[..., 2] = np.arange(size * size).reshape(size, size)[:size, :size] % 251
    return frames, np.zeros((steps, 2))


def squares(i, steps, size=SIZE):
    """A bright square that glides over noise; its place is the proprioception."""
    random = np.random.default_rng(i)
    frames = random.integers(0, 60, (steps, size, size, 3), dtype=np.uint8)
    start, speed = random.uniform(0, size - 6, 2), random.uniform(-0.6, 0.6, 2)
    places = np.clip(start + np.arange(steps)[:, None] * speed, 0, size - 6)
    for frame, (row, column) in zip(frames, places.round().astype(int), strict=True):
        frame[row : row + 6, column : column + 6] = 230
    return frames, places


def tiny_config(**changes):
    """Settings of a training that takes milliseconds for each update."""
    settings = {
        "updates": 6,
        "batch": 4,
        "frames": (4, 2),
        "strides": (1, 2),
        "predictor": PredictorConfig(dim=12, depth=1, heads=1),
        "dim": 24,
        "depth": 1,
        "heads": 2,
        "shift": 1,
        "probe_every": 0,
        "log_every": 1,
    }
    return PretrainConfig(**{**settings, **changes})
