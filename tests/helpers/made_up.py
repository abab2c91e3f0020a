"""Episodes without a simulator, for the tests of this folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from foresight.envs.render import RenderSettings
from foresight.rollout.episode import Episode, EpisodeSpec

TIMESTEP = 0.02


def make_spec(seed: int, task: str = "reacher-easy", size: int = 16) -> EpisodeSpec:
    return EpisodeSpec(task, seed, "random", render=RenderSettings(size=size))


def make_episode(
    seed: int,
    *,
    steps: int = 12,
    size: int = 16,
    task: str = "reacher-easy",
    actions: int = 2,
    frames: bool = True,
) -> Episode:
    """An episode that follows from its arguments alone."""
    rng = np.random.default_rng([seed, steps, size])
    spec = make_spec(seed, task, size)
    if not frames:
        spec = EpisodeSpec(task, seed, "random", render=None)
    return Episode(
        spec=spec,
        frames=rng.integers(0, 256, (steps, size, size, 3), np.uint8) if frames else None,
        proprio=rng.normal(size=(steps, 6)).astype(np.float32),
        states=rng.normal(size=(steps, 4)),
        actions=rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        rewards=rng.uniform(0, 1, steps).astype(np.float32),
    )


def tree(root: Path) -> dict[str, str]:
    """Path to hash of every file below ``root``."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
