"""From what was seen to when an action takes effect: the model rolled through what is under way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.worldmodel.dynamics.rollout import mean_rollout

Imagines = Callable[[Tensor, Tensor], Tensor]
"""A dynamics: ``(z [N, Z], actions [N, M, A]) -> [N, M+1, Z]``, with a leading E of members."""


def mixed(actions: Float[Tensor, "*batch n A"]) -> Float[Tensor, "*batch A"]:
    """The one action that stands for n different ones, a step each, in a model that holds actions.

    What pictures show of a push is where it has moved things, and the earlier it comes the longer
    they move: weights are those of n forces in the displacement at the end, (2(n - i) - 1) / n² of
    the i-th from 0 on. A held action stands for itself.
    """
    count = actions.shape[-2]
    weights = 2 * torch.arange(count, 0, -1, device=actions.device) - 1
    return (actions * (weights / count**2).to(actions)[:, None]).sum(-2)


def in_decisions(actions: Float[Tensor, "n A"], hold: int) -> tuple[Float[Tensor, "M A"], float]:
    """Actions of single steps as decisions of ``hold`` steps, and how many decisions they last.

    The last one may last for a part.

    Args:
        actions: of each step.
        hold: steps of a decision.
    """
    parts = torch.split(actions, hold) if len(actions) else ()
    decisions = [mixed(part) for part in parts]
    return torch.stack(decisions) if decisions else actions, len(actions) / hold


@torch.inference_mode()
def roll(
    dynamics: Imagines,
    z: Float[Tensor, "N Z"],
    actions: Sequence[Float[Tensor, "n A"]],
    hold: int,
) -> Float[Tensor, "N Z"]:
    """Where the actions under way will have led, by a model that knows of no delay.

    The members of an ensemble imagine apart, each from its own states, as they were trained to; a
    mean that is fed back is a state that none of them expects. Their end states are averaged, since
    prior and search begin from one state. The mean of shares that sum to 1 is of such shares, too,
    and so is a point on the line between two states, which stands for a part of a decision.

    Source: model-based simulation of Walsh, Nouri, Li and Littman, "Learning and planning in
    environments with delayed feedback" (2009).

    Args:
        dynamics: of one decision.
        z: what was seen, of N scenes.
        actions: of each scene and step from then on, in [-1, 1]; of any number of steps.
        hold: steps of a decision.
    """
    found = [in_decisions(each, hold) for each in actions]
    longest = max(len(decisions) for decisions, _ in found)
    if not longest:
        return z
    padded = z.new_zeros(len(z), longest, actions[0].shape[-1])
    for row, (decisions, _) in zip(padded, found, strict=True):
        row[: len(decisions)] = decisions.to(row)
    path = mean_rollout(dynamics, z, padded).to(z.dtype)
    lasting = torch.tensor([length for _, length in found], device=z.device)
    before = lasting.floor().long()
    scenes = torch.arange(len(z), device=z.device)
    after = path[scenes, (before + 1).clamp(max=longest)]
    return torch.lerp(path[scenes, before], after, (lasting - before).to(z.dtype)[:, None])
