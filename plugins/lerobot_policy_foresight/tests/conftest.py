"""A dataset and a policy, each made once, without the hub."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch

from foresight.core.episode import Episode
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.perception.config import EncoderConfig
from foresight.pipelines.imitation import learn_chunks
from foresight.policies.chunk.config import NetworkConfig
from foresight.training.chunk.train import ChunkTraining
from foresight.training.loop import FitConfig

torch.set_num_threads(1)
CAMERAS = {"front": (48, 64), "wrist": (32, 40)}
TASKS = ("push the cube", "lift the cube")
SPEC = Spec(CAMERAS, numbered_axes("joint", 3), numbered_axes("motor", 2), 20.0, TASKS)


def episode(seed: int, steps: int = 12) -> Episode:
    """A bright block that wanders over a ramp of colours, followed by the state."""
    rng = np.random.default_rng(seed)
    path = np.cumsum(rng.uniform(0, 2, (steps, 2)), 0)
    images = {}
    for camera, (height, width) in CAMERAS.items():
        ramp = np.linspace(0, 200, width)[None, :, None] * np.ones((height, 1, 3)) * [1, 0.5, 0.2]
        images[camera] = np.repeat(ramp[None].astype(np.uint8), steps, 0)
        for picture, (y, x) in zip(images[camera], path.astype(int), strict=True):
            picture[y : y + 8, x : x + 8] = [240, 240, 40 * (seed % 6)]
    state = np.concatenate([path, rng.normal(size=(steps, 1))], 1).astype(np.float32)
    action = rng.normal(3, 10, (steps, 2)).astype(np.float32)
    return Episode(images, state, action, None, False, TASKS[seed % 2], SPEC.fps)


def write(root, codec: str = "lossless", count: int = 6) -> Dataset:
    with Dataset.create(root, SPEC, codec=codec) as dataset:
        for seed in range(count):
            dataset.append(episode(seed))
    return Dataset.open(root)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Dataset:
    return write(tmp_path_factory.mktemp("data") / "cubes")


@pytest.fixture(scope="session")
def checkpoint(dataset, tmp_path_factory):
    """A policy with all that an episode must keep: noise, goals, past states and pictures."""
    network = NetworkConfig(
        head="flow", flow_steps=2, goal=True, state_history=2, chunk=6, width=16, heads=2,
        feedforward=32, state_hidden=(8,), layers=1,
    )  # fmt: skip
    training = ChunkTraining(network=network, fit=FitConfig(epochs=1, updates=3, batch=8))
    root = tmp_path_factory.mktemp("policy")
    learn_chunks(dataset, EncoderConfig(readout="tubelet:stride=1"), training, root / "run", root)
    return root / "run"
