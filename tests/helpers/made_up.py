"""Episodes without a simulator, for tests of what is stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from foresight.core.episode import Episode
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset

FPS = 50.0


def make_spec(size: int = 16, actions: int = 2, frames: bool = True) -> Spec:
    """What the episodes of :func:`make_episode` have."""
    cameras = {"camera": (size, size)} if frames else {}
    return Spec(cameras, numbered_axes("state", 6), numbered_axes("action", actions), FPS)


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
    pictures = rng.integers(0, 256, (steps, size, size, 3), np.uint8)
    return Episode(
        images={"camera": pictures} if frames else {},
        state=rng.normal(size=(steps, 6)).astype(np.float32),
        action=rng.uniform(-1, 1, (steps, actions)).astype(np.float32),
        reward=rng.uniform(0, 1, steps).astype(np.float32),
        terminated=False,
        task=task,
        fps=FPS,
        success=seed % 2 == 0,
        columns={"sim.state": rng.normal(size=(steps, 4))},
        info={"seed": seed, "policy": "random", "protocol": "seed200"},
    )


def open_or_create(path: Path, **kwargs) -> Dataset:
    """The dataset of :func:`make_episode` at ``path``."""
    return Dataset.open_or_create(path, make_spec(**kwargs))


def tree(root: Path) -> dict[str, str]:
    """Path to hash of every file below ``root``."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def kept(root: Path) -> dict[str, str]:
    """The same without what a repair has taken out."""
    return {name: value for name, value in tree(root).items() if not name.startswith("removed/")}
