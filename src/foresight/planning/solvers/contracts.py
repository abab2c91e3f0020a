"""What solvers take and give: priors, plans and their traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.rollout import Dynamics


class NonFiniteFuturesError(ForesightError):
    """Every candidate of a scene had a NaN or infinite cost, so there is nothing to choose from.

    An agent that wants to go on catches this and takes its last good plan.
    """


@runtime_checkable
class Imagining(Protocol):
    """A dynamics that is faster over whole futures than step by step."""

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "E B S H1 Z"]:
        """What `imagine` would give."""
        ...


class Prior(Protocol):
    """Proposes actions before any search, such as a policy rolled out in imagination."""

    def sample(
        self,
        z0: Float[Tensor, "B Z"],
        count: int,
        horizon: int,
        dynamics: Dynamics,
        generator: torch.Generator,
    ) -> Float[Tensor, "B count H A"]:
        """``count`` action sequences for each scene; the solver clips them to the bounds."""
        ...


@dataclass
class Iteration:
    """What one refinement of the search saw, for B scenes and D decisions within the horizon."""

    best: Float[Tensor, " B"]
    """Lowest cost among the candidates of this iteration."""
    elite: Float[Tensor, " B"]
    """Mean cost of the candidates kept."""
    spread: Float[Tensor, " B"]
    """Mean standard deviation of the sampling distribution after the update."""
    costs: Float[Tensor, "B S"]
    """Costs of all candidates imagined in this iteration; infinite where the future was not
    finite."""
    mean: Float[Tensor, "B D A"]
    """Mean of the sampling distribution after the update."""
    deviation: Float[Tensor, "B D A"]
    """Its standard deviation."""


@dataclass
class Plan:
    """A solver's answer."""

    actions: Float[Tensor, "B H A"]
    """One action for each imagined step; held actions are written out."""
    cost: Float[Tensor, " B"]
    """Cost of ``actions`` as they were imagined."""
    trace: list[Iteration]
    """One entry for each iteration, in order."""
    elites: Float[Tensor, "B K H A"]
    """The best candidates of the whole search, best first."""
    elite_costs: Float[Tensor, "B K"]
    """Their costs, ascending."""
