"""What a plan is judged by: small terms that add up to one cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError

Cost = Float[Tensor, "B S"]
Units = Callable[[Tensor], Tensor]


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
    """The sum of its terms.

    Raises:
        ForesightError: there are none.
    """

    def __init__(self, *terms: Term) -> None:
        if not terms:
            raise ForesightError("An objective got 0 terms and needs at least 1: add one.")
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
    """Euclidean distance of the last imagined state to a goal state, averaged over the members.

    Args:
        goal: `[B, Z]` or `[Z]`.
        weight: factor on the distance.
        units: maps differences of states to the units to measure in; raw if left out.
    """

    def __init__(
        self,
        goal: Float[Tensor, "B Z"] | Float[Tensor, " Z"],
        weight: float = 1.0,
        units: Units | None = None,
    ) -> None:
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.goal = (goal if goal.ndim == 2 else goal[None]).detach().clone()
        self.weight, self.units = weight, units

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Distance `[B, S]`."""
        difference = imagined[..., -1, :] - self.goal[:, None]
        if self.units is not None:
            difference = self.units(difference)
        return self.weight * torch.linalg.vector_norm(difference, dim=-1).mean(0)


class ImaginedReturn:
    """Minus the return over an unlimited future, ``-w (Σ_t γ^t c_t r_t + γ^H c_H V(z_H))``.

    A value at the end of a short horizon is TD-MPC's (arXiv 2203.04955). ``c_t`` is the chance that
    the episode still goes on at step t, the product of the model's ``p(goes on | z_k, a_k)`` for
    k < t; 1 where it has no such head. The reward of step t belongs to the state in which action t
    is taken, as in the data. Members are averaged.

    Args:
        reward: `(z [..., Z], a [..., A]) -> r [...]`, or `[M, ...]` of M members of its own.
        value: `z [..., Z] -> V`, shaped alike, or None to count nothing after the horizon.
        discount: γ.
        goes_on: `(z, a) -> p`.
        weight: w.
    """

    def __init__(
        self,
        reward: Callable[[Tensor, Tensor], Tensor],
        value: Callable[[Tensor], Tensor] | None = None,
        discount: float = 1.0,
        goes_on: Callable[[Tensor, Tensor], Tensor] | None = None,
        weight: float = 1.0,
    ) -> None:
        self.reward, self.value, self.weight = reward, value, weight
        self.discount, self.goes_on = discount, goes_on

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Minus the return `[B, S]`."""
        states, done = imagined[..., :-1, :], actions.expand(len(imagined), *actions.shape)
        rewards = self.reward(states, done)
        weights = self.discount ** torch.arange(rewards.shape[-1], device=rewards.device)
        last: Tensor | float = 1.0
        if self.goes_on is not None:
            alive = self.goes_on(states, done).cumprod(-1)
            before = torch.cat([torch.ones_like(alive[..., :1]), alive[..., :-1]], dim=-1)
            weights, last = weights * before, alive[..., -1]
        cost = -self.weight * _averaged((rewards * weights).sum(-1))
        if self.value is None:
            return cost
        value = self.value(imagined[..., -1, :]) * last
        return cost + -self.weight * self.discount ** actions.shape[-2] * _averaged(value)


class Disagreement:
    """How much the members differ about the future.

    The standard deviation over the members (with n - 1), averaged over the latent dimensions, then
    over the imagined steps.

    Args:
        weight: β, the cost of one unit of disagreement, of all scenes or ``[B]`` of each; below 0
            it is sought.
        units: in which the members are compared; raw if left out, where a weight means little from
            one latent space to the next.
    """

    def __init__(self, weight: float | Float[Tensor, " B"], units: Units | None = None) -> None:
        self.weight, self.units = _of_plans(weight), units

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Disagreement `[B, S]`.

        Raises:
            ForesightError: the futures are of one member only.
        """
        if len(imagined) < 2:
            raise ForesightError(
                f"Disagreement needs futures of at least 2 members and got {len(imagined)}: plan "
                "with an ensemble, or leave the penalty out."
            )
        future = imagined[..., 1:, :]
        if self.units is not None:
            future = self.units(future)
        # The same as `std(0)`, which takes 25 times as long along a leading axis on a CPU; the
        # small number keeps the gradient finite where the members agree.
        variance = (future - future.mean(0)).square().sum(0) / (len(future) - 1)
        return self.weight * (variance + 1e-12).sqrt().mean(-1).mean(-1)


class Effort:
    """Mean squared action, a tie-breaker against needless motion."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Effort `[B, S]`."""
        return self.weight * actions.square().mean((-2, -1))


class NearProposal:
    """Squared deviation from proposed actions, ``w mean_h,j (a - a*)²``.

    Imagination errs, and a search finds where it errs in the right direction. Where candidates
    differ little in what they promise, what was proposed stands.

    Args:
        proposed: a*, in [-1, 1].
        weight: w, of all scenes or ``[B]`` of each.
    """

    def __init__(
        self, proposed: Float[Tensor, "B H A"], weight: float | Float[Tensor, " B"]
    ) -> None:
        self.proposed, self.weight = proposed, _of_plans(weight)

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """The cost of each candidate."""
        return self.weight * (actions - self.proposed[:, None]).square().mean((-2, -1))


def _averaged(values: Tensor) -> Cost:
    """`[E, B, S]`, or `[M, E, B, S]` of a head's own members, to `[B, S]`."""
    return (values.mean(0) if values.ndim == 4 else values).mean(0)


def _of_plans(weight: float | Float[Tensor, " B"]) -> float | Float[Tensor, "B 1"]:
    """A weight of scenes as one of all their plans."""
    return weight[:, None] if isinstance(weight, Tensor) else weight
