"""Small datasets without a simulator, and small settings, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from foresight.data.store import EpisodeStore
from foresight.envs.render import RenderSettings
from foresight.perception.pretraining.config import PredictorConfig, PretrainConfig
from foresight.rollout.episode import Episode, EpisodeSpec

SIZE = 16


def make_store(folder, paint, lengths, *, size=SIZE, task="reacher-easy", frames=True):
    """A dataset whose episode ``i`` has the frames and proprioception ``paint(i, steps)``."""
    with EpisodeStore.create(folder, control_timestep=0.02) as store:
        for i, steps in enumerate(lengths):
            pictures, proprio = paint(i, steps)
            store.append(
                Episode(
                    spec=EpisodeSpec(
                        task, i, "random", render=RenderSettings(size) if frames else None
                    ),
                    frames=pictures if frames else None,
                    proprio=proprio.astype(np.float32),
                    states=np.zeros((steps, 2)),
                    actions=np.zeros((steps, 1), np.float32),
                    rewards=np.zeros(steps, np.float32),
                )
            )
    return EpisodeStore.open(folder)


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
