"""A linear readout finds what an embedding shows, and nothing that it does not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import torch

from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig
from foresight.rollout.collect import collect, plan_episodes
from studies.lewm.places import place_r2


def _centre_of_red(pictures):
    """Where the point is, by its colour: ``[N, 2]`` in pixels."""
    red = (pictures[..., 0].float() - pictures[..., 1].float()).clamp(min=0)
    lines = torch.arange(pictures.shape[1], dtype=torch.float32)
    total = red.sum((1, 2))
    across, down = (red.sum(axis) @ lines / total for axis in (1, 2))
    return torch.stack([across, down], -1)


def test_what_is_shown_is_found_and_what_is_not_is_not(tmp_path):
    env = EnvConfig("tworoom/point", protocol="whole", cameras=("view",), size=32)
    collect(tmp_path / "data", plan_episodes(env, 8, ("noisy:0.6,40:wanderer",)))
    dataset, split = Dataset.open(tmp_path / "data"), ([0, 1, 2, 3, 4], [5, 6, 7])
    pixels = np.concatenate([dataset.frames(index, "view") for index in range(len(dataset))])
    whole = SimpleNamespace(encode=_centre_of_red)
    assert min(place_r2(whole, dataset, pixels, split, (0, 1))) > 0.98
    half = SimpleNamespace(encode=lambda frames: _centre_of_red(frames)[:, :1])
    across, down = place_r2(half, dataset, pixels, split, (0, 1))
    assert across > 0.98 and down < 0.5
