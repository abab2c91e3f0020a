"""What corrects a dynamics while an agent acts: the contract, and states that are shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.worldmodel.dynamics.rollout import Dynamics
from foresight.worldmodel.dynamics.simnorm import GROUP
from foresight.worldmodel.model import WorldModel

LEAST = 1e-6
"""What remains of a share that a residual would take below 0."""


@dataclass
class Transition:
    """One decision of N robots: what was done, what was imagined of it, and what came.

    Attributes:
        z: the state.
        action: the decision, in [-1, 1].
        predicted: the uncorrected dynamics' next state, the mean over its members.
        after: the next state.
        usable: 0 where something is not finite, else 1.
    """

    z: Float[Tensor, "N Z"]
    action: Float[Tensor, "N A"]
    predicted: Float[Tensor, "N Z"]
    after: Float[Tensor, "N Z"]
    usable: Float[Tensor, " N"]


class Correction(ABC):
    """Learns from transitions; changes what goes into a dynamics, comes out of it, or itself.

    What a planner imagines has one row for each robot and candidate, robot by robot. Before
    anything was learned nothing is changed, to the bit.

    Attributes:
        active: whether it changes anything.
    """

    active: bool = False

    @abstractmethod
    def reset(self, robots: int, seed: int) -> None:
        """Forget everything, for N robots; what is random follows from the seed."""

    @abstractmethod
    def learn(self, seen: Transition) -> None:
        """Take in a decision of every robot."""

    def base(self, dynamics: Dynamics) -> Dynamics:
        """The dynamics that is corrected, instead of the planner's own."""
        return dynamics

    def executed(self, action: Float[Tensor, "R A"]) -> Float[Tensor, "R A"]:
        """What the old body would have to do to get where this action leads."""
        return action

    def corrected(
        self, z: Float[Tensor, "*E R Z"], action: Float[Tensor, "R A"], after: Tensor
    ) -> Float[Tensor, "*E R Z"]:
        """The next states, from those that the dynamics gives."""
        return after

    @property
    def corrects_states(self) -> bool:
        """Whether `corrected` does anything."""
        return type(self).corrected is not Correction.corrected

    def proposed(self, action: Float[Tensor, "R A"]) -> Float[Tensor, "R A"]:
        """What the action prior is taken to propose, where it says this."""
        return action

    @abstractmethod
    def frozen(self) -> Correction:
        """A copy that learns nothing, to see later what would have been imagined now."""

    def notes(self) -> list[dict[str, Any]]:
        """What was found out, for each robot's episode."""
        return []


class Space:
    """The latent states of a model: how they are told as features, and what may be added to them.

    Args:
        shares: whether states are groups of 8 shares that sum to 1.
        latent: Z.
        directions: K, random orthonormal directions that features are read along.
        seed: of the directions.
    """

    def __init__(self, shares: bool, latent: int, directions: int, seed: int = 0) -> None:
        self.shares = shares
        count = min(directions, latent)
        random = torch.Generator().manual_seed(seed)
        drawn = torch.randn(latent, latent, generator=random, dtype=torch.float64)
        self.directions: Float[Tensor, "Z K"] = torch.linalg.qr(drawn)[0][:, :count].float()
        self.count = count
        """K."""
        # A share is 1/8 on average, and moves by about as much.
        self.centre, self.scale = (1 / GROUP, float(GROUP)) if shares else (0.0, 1.0)

    @classmethod
    def of(cls, model: WorldModel, directions: int) -> Space:
        """The space of a model's states."""
        return cls(model.config.dynamics.kind == "simnorm", model.latent, directions)

    def features(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch F"]:
        """1, the action, and the state along the directions: F = 1 + A + K numbers."""
        told = ((z - self.centre) * self.scale) @ self.directions.to(z)
        joined = action.to(z).expand(*z.shape[:-1], action.shape[-1])
        return torch.cat([torch.ones_like(joined[..., :1]), joined, told], dim=-1)

    def moved(
        self, z: Float[Tensor, "*batch Z"], residual: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch Z"]:
        """A state with a residual on it: shares stay above 0, and those of a group sum to 1."""
        there = z + residual.to(z)
        if not self.shares:
            return there
        shape = (*there.shape[:-1], GROUP, there.shape[-1] // GROUP)
        groups = there.clamp(min=LEAST).view(shape)
        shares: Tensor = groups / groups.sum(-2, keepdim=True)
        return shares.flatten(-2)


def by_robot(rows: Float[Tensor, "*E R w"], robots: int) -> Float[Tensor, "*E N S w"]:
    """Rows of robots and their candidates, apart."""
    return rows.reshape(*rows.shape[:-2], robots, -1, rows.shape[-1])
