"""The return of an episode as a model imagines it, a few decisions at a time."""

from __future__ import annotations

import numpy as np
import torch

from foresight.training.replay import Replay
from foresight.worldmodel.dynamics.simnorm import SimNormDynamics
from foresight.worldmodel.heads.scalar import ScalarHead


def imagined_return(
    dynamics: SimNormDynamics, reward: ScalarHead, replay: Replay, episode: int, segment: int
) -> float:
    """Return of one episode, imagined anew from every ``segment``-th state."""
    device = next(dynamics.parameters()).device
    first, length = int(replay.offsets[episode]), int(replay.lengths[episode])
    steps = np.arange(0, length, segment)[:, None] + np.arange(segment)
    rows = torch.from_numpy(first + steps.clip(max=length - 1))
    actions = replay.actions[rows].to(device)
    z = replay.states[rows[:, 0]].to(device)
    members = dynamics.members
    imagined = dynamics.apart(z.expand(members, *z.shape), actions.expand(members, *actions.shape))
    rewards = reward(imagined[:, :, :-1], actions.expand(members, *actions.shape))
    return float(rewards.float().mean(0).cpu()[torch.from_numpy(steps < length)].sum())
