"""What a plan is judged by: small terms that add up to one cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

Cost = Float[Tensor, "B S"]


class Term(Protocol):
    """One summand of an objective."""

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """The cost of each candidate; lower is better.

        Args:
            imagined: `[E, B, S, H+1, Z]`, imagined states of E members for B scenes and S
                candidates; entry 0 along H+1 is the present.
            actions: `[B, S, H, A]`.
        """
        ...


class Objective:
    """The sum of its terms."""

    def __init__(self, *terms: Term) -> None:
        if not terms:
            raise ValueError("an objective needs at least one term")
        self.terms = terms

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Add the terms up, `[B, S]`."""
        total = self.terms[0].cost(imagined, actions)
        for term in self.terms[1:]:
            total = total + term.cost(imagined, actions)
        return total


class GoalDistance:
    """Euclidean distance to a goal state, averaged over the members.

    Args:
        goal: `[B, Z]` or `[Z]`.
        over: `final` judges the last imagined state (the sources), `sum` all of them averaged,
            `closest` the nearest one.
        weight: factor on the distance.
    """

    def __init__(
        self,
        goal: Float[Tensor, "B Z"] | Float[Tensor, "Z"],
        over: Literal["final", "sum", "closest"] = "final",
        weight: float = 1.0,
    ) -> None:
        self.goal = goal if goal.ndim == 2 else goal[None]
        self.over = over
        self.weight = weight

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Distance `[B, S]`."""
        future = imagined[..., -1:, :] if self.over == "final" else imagined[..., 1:, :]
        distance = torch.linalg.vector_norm(future - self.goal[:, None, None], dim=-1)
        reduced = distance.amin(-1) if self.over == "closest" else distance.mean(-1)
        return self.weight * reduced.mean(0)


class PredictedReward:
    """Minus the discounted sum of predicted rewards, averaged over the members.

    Args:
        model: `(z [..., Z], a [..., A]) -> r [...]`; the reward of step t belongs to the state in
            which action t is taken, as in the data.
        weight: factor on the sum.
        discount: factor per step.
    """

    def __init__(
        self, model: Callable[[Tensor, Tensor], Tensor], weight: float = 1.0, discount: float = 1.0
    ) -> None:
        self.model = model
        self.weight = weight
        self.discount = discount

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Minus the return `[B, S]`."""
        states = imagined[..., :-1, :]
        rewards = self.model(states, actions.expand(len(imagined), *actions.shape))
        powers = self.discount ** torch.arange(rewards.shape[-1], device=rewards.device)
        return -self.weight * (rewards * powers).sum(-1).mean(0)


class Effort:
    """Mean squared action, a tie-breaker against needless motion."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Effort `[B, S]`."""
        return self.weight * actions.square().mean((-2, -1))
