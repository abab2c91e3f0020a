"""How late a robot acts, where nobody says so: read off what was asked for and what changed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.policies.delayed.rolling import Imagines, mixed
from foresight.worldmodel.dynamics.rollout import mean_step

FEWEST = 2
"""Transitions that an estimate needs: a spread is of two at least."""


@dataclass(frozen=True)
class DelayEstimate:
    """A delay, and how well each candidate explains what happened.

    Attributes:
        delay: steps from an action's choice to what is seen of it, the best candidate.
        errors: mean squared error of the model's predictions under each candidate.
        margin: how much worse the next best one is, in standard errors of the paired difference;
            below 2 it might as well be that one.
    """

    delay: int
    errors: tuple[float, ...]
    margin: float


def estimate_delay(
    dynamics: Imagines,
    z: Float[Tensor, "T1 Z"],
    issued: Float[Tensor, "n A"],
    hold: int = 1,
    most: int = 8,
    idle: Float[Tensor, " A"] | None = None,
) -> DelayEstimate:
    """The delay under which a model that knows of none explains best what was seen.

    For each candidate j the model predicts every transition under the actions that were issued j
    steps earlier; the one with the least error is taken. Actions have to vary from decision to
    decision, or all candidates explain the same. An action delay and a fixed observation lag
    cannot be told apart by this, and need not be: their sum is found.

    Args:
        dynamics: of one decision.
        z: states that were seen at T + 1 decisions, one after the other from an episode's first.
        issued: the actions that were asked for at each step, ``T * hold`` or more, in [-1, 1].
        hold: steps of a decision.
        most: the largest candidate.
        idle: what is executed until the first action arrives; zeros if not given.

    Raises:
        ForesightError: fewer than two transitions, or fewer actions than those took.
    """
    transitions = len(z) - 1
    if transitions < FEWEST or len(issued) < transitions * hold:
        raise ForesightError(
            f"A delay cannot be estimated from {len(z)} states and {len(issued)} actions: give at "
            f"least {FEWEST + 1} states and {hold} actions for each step between them."
        )
    rest = issued.new_zeros(issued.shape[-1]) if idle is None else idle
    shifted = torch.cat([rest.expand(most, -1), issued[: transitions * hold]])
    starts = range(most, -1, -1)  # candidate j begins j actions before the first one
    done = torch.stack([shifted[start : start + transitions * hold] for start in starts])
    decisions = mixed(done.reshape(most + 1, transitions, hold, -1))
    predicted = mean_step(dynamics, z[:-1].expand(most + 1, -1, -1), decisions)
    errors = (predicted - z[1:]).square().mean(-1)
    order = errors.mean(1).argsort()
    best, *others = order.tolist()
    margin = float("inf")
    if others:
        apart = errors[others[0]] - errors[best]
        margin = float(apart.mean() / (apart.std() / transitions**0.5 + 1e-12))
    return DelayEstimate(best, tuple(errors.mean(1).tolist()), margin)
