"""Frozen latent states of made-up episodes whose truth is known."""

import numpy as np
import torch

from foresight.worldmodel.heads.training import Latents

EPISODES, LENGTH, WIDTH = 40, 30, 8


def walks() -> Latents:
    """Each episode walks through its own place in a random linear view of (place, x, y).

    ``x`` moves by the action, the reward is ``x`` clipped to ±2.
    """
    rng = np.random.default_rng(0)
    view = rng.normal(size=(4, WIDTH))
    states, actions = [], []
    for _ in range(EPISODES):
        place, x, y = rng.normal(size=2) * 2, rng.normal(), 0.0
        for t in range(LENGTH):
            a = rng.uniform(-1, 1)
            states.append([*place, x, y + 0.1 * t])
            actions.append([a])
            x += 0.5 * a
    truth = np.array(states)
    return Latents(
        z=torch.tensor(truth @ view, dtype=torch.float32),
        offsets=np.arange(EPISODES + 1) * LENGTH,
        train=list(range(30)),
        validation=list(range(30, EPISODES)),
        actions=torch.tensor(np.array(actions), dtype=torch.float32),
        rewards=torch.tensor(truth[:, 2], dtype=torch.float32).clamp(-2, 2),
    )
