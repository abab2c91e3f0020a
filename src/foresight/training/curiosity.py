"""Exploration where random data hold no reward: plans that go where the ensemble is of two minds.

Members that learned from different episodes agree about what all of them have seen. Where they
differ there is something to be learned, so a plan is worth more the more they differ about what it
leads to (Plan2Explore; Sekar et al. 2020, arXiv 2005.05960). Here it is worth so beside the
imagined return, in half of the episodes that explore, and less and less as the steps are spent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.config import MPCConfig
from foresight.planning.objective import Disagreement
from foresight.planning.solvers import imagine
from foresight.training.replay import Replay
from foresight.worldmodel.model import WorldModel

WINDOWS = 512
"""Windows of the data in which the members are compared."""
CURIOUS = "curious"
"""What an episode's policy is called that sought disagreement."""


@torch.no_grad()
def usual_disagreement(model: WorldModel, replay: Replay, search: MPCConfig) -> float:
    """How much a plan's members differ where they imagine what was done in the data.

    Args:
        model: that plans.
        replay: with states as the model sees them now.
        search: its horizon and members are those of the plans.
    """
    device = next(model.parameters()).device
    random = np.random.default_rng(replay.decisions)
    windows = replay.sample((WINDOWS,), search.horizon, random).to(device)
    own = model.for_planning(search.members, torch.float32, torch.float32)
    actions = windows.actions[:, None]
    future = imagine(own.dynamics, windows.states[:, 0].float(), actions.float())
    return float(Disagreement(1.0).cost(future.float(), actions).mean())


def curious_scenes(tried: Sequence[int | None]) -> list[bool]:
    """Every other one of the scenes that explore."""
    explorers = np.cumsum([choice is None for choice in tried])
    return [c is None and n % 2 == 1 for c, n in zip(tried, explorers.tolist(), strict=True)]


def worth_of(scenes: Sequence[bool], worth: float, device: torch.device) -> Float[Tensor, " B"]:
    """What disagreement is worth in each scene."""
    return worth * torch.tensor(scenes, dtype=torch.float32, device=device)
