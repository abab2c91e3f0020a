"""Made-up probe data whose truth is known."""

from __future__ import annotations

import numpy as np
import torch

from foresight.diagnostics.probes.data import ProbeData, Target


def planted(count=1200, grid=6, dim=16, episodes=60, seed=0):
    """Tokens with one marked place that moves; labels are its place, its motion and its kind.

    Returns:
        tokens ``[N, 2, grid, grid, dim]`` and their data.
    """
    random = np.random.default_rng(seed)
    tokens = 0.3 * random.standard_normal((count, 2, grid, grid, dim))
    marks = random.standard_normal((3, dim))
    kind = random.integers(3, size=count)
    here = random.uniform(1, grid - 2, (count, 2))
    motion = random.uniform(-1, 1, (count, 2))
    rows, columns = np.mgrid[:grid, :grid]
    for time, place in ((0, here - motion), (1, here)):
        square = (rows - place[:, :1, None]) ** 2 + (columns - place[:, 1:, None]) ** 2
        blob = np.exp(-square / 0.8)
        tokens[:, time] += 2.0 * blob[..., None] * marks[kind][:, None, None]
    targets = (
        Target("row", "position-r2"),
        Target("column", "position-r2"),
        Target("row speed", "velocity-r2"),
        Target("kind", "kind-accuracy", 3),
    )
    data = ProbeData(
        name="planted",
        targets=targets,
        labels=np.column_stack([10 + 5 * here, motion[:, 0], kind]),
        episodes=np.arange(count) % episodes,
        clips=lambda: iter(()),
        fingerprint="planted",
    )
    return torch.from_numpy(tokens).half(), data
