"""Policies for the fake robot and for simulators, in a module that worker processes can import."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

import numpy as np
import torch

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy, Policy
from foresight.core.spec import Spec
from foresight.envs.registry import EnvConfig

ROBOT = EnvConfig("fake_robot:FakeRobot")


class Driver(Policy):
    """Looks into the fake robot and drives to its goal."""

    def __init__(self, spec: Spec) -> None:
        self.env = None

    def attach(self, env) -> None:
        self.env = env.unwrapped

    def act(self, observation: Observation) -> np.ndarray:
        return self.env.towards_goal()


class Moody(Policy):
    """Acts by what it remembers and by every global generator."""

    def __init__(self, spec: Spec) -> None:
        self.seen: list[np.ndarray] = []

    def reset(self, observation: Observation, seed: int) -> None:
        self.seen = []

    def act(self, observation: Observation) -> np.ndarray:
        self.seen.append(observation.state)
        noise = [random.uniform(-1, 1), np.random.randn() + float(torch.randn(()))]
        return np.clip(np.mean(self.seen) + 0.3 * np.array(noise), -0.5, 0.5).astype(np.float32)

    def notes(self) -> dict:
        return {"remembered": len(self.seen)}


class Together(BatchPolicy):
    """One policy for many robots; writes down how it was asked."""

    def __init__(self, spec: Spec) -> None:
        self.batches: list[list[bool]] = []

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        self.random = [np.random.default_rng(seed) for seed in seeds]
        self.batches = []

    def act_batch(self, observations, active=None) -> np.ndarray:
        self.batches.append(list(active))
        return np.stack([0.3 * np.sign(own.normal(size=2)) for own in self.random])

    def notes_batch(self) -> list[dict]:
        return [{"robot": i, "asked": len(self.batches)} for i in range(len(self.random))]


class Wrong(Policy):
    """Actions that no robot takes."""

    def __init__(self, spec: Spec, action: Sequence[float] = (0.0, float("nan"))) -> None:
        self.action = action

    def act(self, observation: Observation) -> np.ndarray:
        return np.array(self.action, np.float32)


class Deadly(Policy):
    """Takes its process with it."""

    def __init__(self, spec: Spec) -> None:
        pass

    def act(self, observation: Observation) -> np.ndarray:
        os._exit(7)


def unfit(spec: Spec) -> Policy:
    """A policy that does not fit."""
    raise ForesightError("no weights at x: train first.")


def sized(episode) -> tuple[int, int]:
    """Seed and length of an episode, and who measured it."""
    return episode.info["seed"], len(episode)
