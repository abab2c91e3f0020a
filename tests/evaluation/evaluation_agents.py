"""Agents for the tests, in a module of their own so that worker processes can import them."""

from __future__ import annotations

import os

import numpy as np
import torch

from foresight.core.errors import ForesightError


class NoisyNetwork:
    """A random policy network with dropout-like noise and a memory that only reset() clears."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.randn(1, 5, generator=generator)
        self.memory: list[np.ndarray] = []

    def reset(self, observation: dict) -> None:
        self.memory = []

    def act(self, observation: dict) -> np.ndarray:
        self.memory.append(observation["state"])
        x = torch.from_numpy(np.mean(self.memory, axis=0))
        action = torch.tanh(self.weight @ x) + 0.3 * torch.randn(1) + 0.1 * np.random.randn()
        return action.clamp(-1, 1).numpy().astype(np.float32)


class OwnGenerator:
    """Draws from a generator of its own, seeded through ``seed``."""

    def __init__(self) -> None:
        self.generator = np.random.default_rng(123)

    def seed(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def reset(self, observation: dict) -> None:
        pass

    def act(self, observation: dict) -> np.ndarray:
        return self.generator.uniform(-1, 1, 2).astype(np.float32)


class Zero:
    """Zero, whatever is seen; keeps the keys it saw."""

    def reset(self, observation: dict) -> None:
        assert set(observation) == {"images", "state"}
        assert observation["images"]["camera"].shape == (32, 32, 3)

    def act(self, observation: dict) -> np.ndarray:
        return np.zeros(2, np.float32)


class Broken(Zero):
    """An agent whose action is no number."""

    def act(self, observation: dict) -> np.ndarray:
        return np.full(2, np.nan, np.float32)


class Dying(Zero):
    """An agent that takes its process with it."""

    def act(self, observation: dict) -> np.ndarray:
        os._exit(7)


def make_failing() -> Zero:
    """A factory that fails with a readable sentence."""
    raise ForesightError("no weights at x: train first.")
