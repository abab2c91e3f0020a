"""A dynamics with a correction on it, for planners."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.planning.mpc import Propose
from foresight.planning.solvers import imagine
from foresight.policies.adaptive.correction import Correction
from foresight.worldmodel.dynamics.rollout import Dynamics, is_ensemble


class AdaptedDynamics:
    """Imagines as the dynamics it is put around, corrected.

    Whole futures take the dynamics' own fast way where no state in between has to be corrected, and
    go step by step elsewhere: the same numbers, at the price of a call a step.

    Args:
        dynamics: single or ensemble, in whatever form a planner has it.
        correction: what has been learned.

    Attributes:
        members: those of the dynamics, if it is an ensemble.
    """

    members: int

    def __init__(self, dynamics: Dynamics, correction: Correction) -> None:
        self.dynamics, self.correction = dynamics, correction
        if is_ensemble(dynamics):
            self.members = dynamics.members  # type: ignore[attr-defined]

    def step(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"]
    ) -> Float[Tensor, "*E R Z"]:
        """One imagined step; rows are robots and, of each, its candidates."""
        held = self.correction
        if not held.active:
            return self.dynamics.step(z, action)
        after = held.base(self.dynamics).step(z, held.executed(action))
        return held.corrected(z, action, after) if held.corrects_states else after

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "E B S H1 Z"]:
        """Whole futures of every candidate."""
        held = self.correction
        if not held.active:
            return imagine(self.dynamics, z0, actions)
        if held.corrects_states:
            return imagine(_StepByStep(self), z0, actions)
        rows = actions.permute(2, 0, 1, 3).flatten(1, 2)  # every step: scene by scene
        done = torch.stack([held.executed(step) for step in rows])
        done = done.reshape(-1, *actions.shape[:2], actions.shape[-1]).permute(1, 2, 0, 3)
        return imagine(held.base(self.dynamics), z0, done)


class _StepByStep:
    """Hides that whole futures could be asked for."""

    def __init__(self, dynamics: AdaptedDynamics) -> None:
        self.step = dynamics.step
        if is_ensemble(dynamics):
            self.members = dynamics.members


class Adapting:
    """Puts a correction into a planner (`foresight.planning.mpc.MPCPlanner.of`)."""

    def __init__(self, correction: Correction) -> None:
        self.correction = correction

    def imagining(self, dynamics: Dynamics) -> AdaptedDynamics:
        """The planner's dynamics, corrected."""
        return AdaptedDynamics(dynamics, self.correction)

    def proposing(self, propose: Propose) -> Propose:
        """The planner's action prior, as the correction takes it to be meant."""
        return lambda z: self.correction.proposed(propose(z))
