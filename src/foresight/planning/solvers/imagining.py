"""Rolling candidates through a dynamics, single or ensemble, as few large products."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.solvers.contracts import Imagining
from foresight.worldmodel.dynamics.rollout import Dynamics, each_member


def imagine(
    dynamics: Dynamics, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
) -> Float[Tensor, "E B S H1 Z"]:
    """Roll every candidate of every scene through the dynamics.

    Scenes and candidates become the rows of one product for each step, and for an ensemble all
    members are one batched product over the same rows: actions are never copied for members.

    Returns:
        ``[E, B, S, H+1, Z]``; E is 1 for a dynamics without members, entry 0 along H+1 is ``z0``.

    Raises:
        ForesightError: states and actions are of different numbers of scenes.
    """
    if len(z0) != len(actions):
        raise ForesightError(
            f"Cannot imagine {len(actions)} scenes of actions from {len(z0)} states: give one "
            "state for each scene."
        )
    if isinstance(dynamics, Imagining):
        return dynamics.imagine(z0, actions)
    scenes, samples = actions.shape[:2]
    state = each_member(dynamics, z0.repeat_interleave(samples, 0))
    states = [state]
    for action in actions.flatten(0, 1).unbind(1):
        states.append(dynamics.step(states[-1], action))
    ahead = torch.stack(states, dim=-2)
    return ahead.view(-1, scenes, samples, *ahead.shape[-2:])


def shift(actions: Float[Tensor, "B H A"], steps: int = 1) -> Float[Tensor, "B H A"]:
    """Move a plan ``steps`` on: drop its first actions and repeat its last."""
    steps = min(steps, actions.shape[1])
    return torch.cat([actions[:, steps:], actions[:, -1:].expand(-1, steps, -1)], dim=1)
