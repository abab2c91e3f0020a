"""Cached tokens of a robot that nobody has seen: a linear system, shown through a fixed matrix."""

from __future__ import annotations

from pathlib import Path

import torch

from foresight.data.cache import FeatureCache
from foresight.perception.ac_data import ACEpisodes, ACRobot
from foresight.perception.ac_predictor import normalise
from foresight.worldmodel.predictor.config import PredictorConfig, PredictorSizes

SIZES = PredictorSizes(dim=8, grid=2, actions=2, states=3, width=32, depth=1, heads=2, context=4)
ROBOT = ACRobot("camera", 1, (), (0.0,) * 2, (1.0,) * 2, (0.0,) * 3, (1.0,) * 3)


def made_up_frames(folder: Path, episodes: int = 6, steps: int = 12) -> ACEpisodes:
    """Episodes of ``[steps, 4 * 8]`` tokens; an action moves what the next frame shows."""
    generator = torch.Generator().manual_seed(0)
    shown = torch.randn(4, 8, 5, generator=generator)
    moves = torch.randn(5, 2, generator=generator)
    cache = FeatureCache.open_or_create(
        folder, "data", "eyes", "none", [steps] * episodes, (32,), "float16"
    )
    actions = torch.randn(episodes * steps, 2, generator=generator)
    states = torch.randn(episodes * steps, 3, generator=generator)
    for episode in range(episodes):
        x, frames = torch.randn(5, generator=generator), []
        for step in range(steps):
            frames.append(normalise(shown @ x))
            x = 0.9 * x + moves @ actions[episode * steps + step]
        cache.write_episode(episode, torch.stack(frames).flatten(1).numpy())
    return ACEpisodes(cache, actions, states)


def made_up_config() -> PredictorConfig:
    """What a checkpoint of these says."""
    return PredictorConfig(sizes=SIZES, robot=ROBOT)
