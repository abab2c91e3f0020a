"""What a plan is judged by: small terms that add up to one cost.

`PredictedReward` and `TerminalValue` of one weight and one discount γ make the negative return,
``-(Σ_t γ^t r(z_t, a_t) + γ^H V(z_H))``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.worldmodel.whitening import Whitening

Cost = Float[Tensor, "B S"]
Over = Literal["final", "sum", "closest"]
Members = Literal["mean", "min"]


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


class _Goal:
    """A goal state, and which imagined states are compared with it."""

    def __init__(
        self, goal: Float[Tensor, "B Z"] | Float[Tensor, " Z"], over: Over, weight: float
    ) -> None:
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.goal = (goal if goal.ndim == 2 else goal[None]).detach().clone()
        if over not in ("final", "sum", "closest"):
            raise ForesightError(
                f"Goals cannot be judged over {over!r}: choose final, sum or closest."
            )
        self.over = over
        self.weight = weight

    def _judged(self, imagined: Float[Tensor, "E B S H1 Z"]) -> Float[Tensor, "E B S T Z"]:
        return imagined[..., -1:, :] if self.over == "final" else imagined[..., 1:, :]

    def _reduced(self, distance: Float[Tensor, "E B S T"]) -> Cost:
        reduced = distance.amin(-1) if self.over == "closest" else distance.mean(-1)
        return self.weight * reduced.mean(0)


class GoalDistance(_Goal):
    """Euclidean distance to a goal state, averaged over the members.

    Args:
        goal: `[B, Z]` or `[Z]`.
        over: `final` judges the last imagined state, `sum` all of them averaged,
            `closest` the nearest one.
        weight: factor on the distance.
        whitening: measure in whitened units; raw if left out.
    """

    def __init__(
        self,
        goal: Float[Tensor, "B Z"] | Float[Tensor, " Z"],
        over: Over = "final",
        weight: float = 1.0,
        whitening: Whitening | None = None,
    ) -> None:
        super().__init__(goal, over, weight)
        self.whitening = whitening

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Distance `[B, S]`."""
        difference = self._judged(imagined) - self.goal[:, None, None]
        if self.whitening is not None:
            difference = self.whitening(difference)
        return self._reduced(torch.linalg.vector_norm(difference, dim=-1))


class PredictedReward:
    """Minus the discounted sum of predicted rewards, averaged over the members.

    Args:
        model: `(z [..., Z], a [..., A]) -> r [...]`, or `[M, ...]` of M members of its own; the
            reward of step t belongs to the state in which action t is taken, as in the data.
        weight: factor on the sum.
        discount: factor per step.
        members: how the members' returns become one: their `mean`, or the `min` of them.
    """

    def __init__(
        self,
        model: Callable[[Tensor, Tensor], Tensor],
        weight: float = 1.0,
        discount: float = 1.0,
        members: Members = "mean",
    ) -> None:
        self.model = model
        self.weight = weight
        self.discount = discount
        self.members = members

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Minus the return `[B, S]`."""
        states = imagined[..., :-1, :]
        rewards = self.model(states, actions.expand(len(imagined), *actions.shape))
        powers = self.discount ** torch.arange(rewards.shape[-1], device=rewards.device)
        return -self.weight * _over_members((rewards * powers).sum(-1), self.members)


class TerminalValue:
    """Minus the discounted value of the last imagined state, ``-w γ^H V(z_H)``.

    Together with `PredictedReward` of the same weight and discount this is the return over an
    unlimited future (TD-MPC, arXiv 2203.04955).

    Args:
        model: `z [..., Z] -> V [...]`, or `[M, ...]` of M members of its own.
        weight: factor on the value.
        discount: factor per step.
        members: how the members' values become one: their `mean`, or the `min` of them, which
            trusts no member that hopes alone.
    """

    def __init__(
        self,
        model: Callable[[Tensor], Tensor],
        weight: float = 1.0,
        discount: float = 1.0,
        members: Members = "mean",
    ) -> None:
        self.model = model
        self.weight = weight
        self.discount = discount
        self.members = members

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Minus the value `[B, S]`."""
        value = self.model(imagined[..., -1, :])
        factor = self.weight * self.discount ** actions.shape[-2]
        return -factor * _over_members(value, self.members)


class ImaginedReturn:
    """Minus the return over an unlimited future, ``-(Σ_t γ^t c_t r_t + γ^H c_H V(z_H))``.

    ``c_t`` is the chance that the episode still goes on at step t, the product of the model's
    ``p(goes on | z_k, a_k)`` for k < t; 1 where it has no such head. Members are averaged.

    Args:
        reward: ``(z, a) -> r``.
        value: ``z -> V``, or None to count nothing after the horizon.
        discount: γ.
        goes_on: ``(z, a) -> p``.
    """

    def __init__(
        self,
        reward: Callable[[Tensor, Tensor], Tensor],
        value: Callable[[Tensor], Tensor] | None,
        discount: float = 1.0,
        goes_on: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.reward, self.value = reward, value
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
        cost = -_over_members((rewards * weights).sum(-1), "mean")
        if self.value is None:
            return cost
        value = self.value(imagined[..., -1, :]) * last
        return cost + -(self.discount ** actions.shape[-2]) * _over_members(value, "mean")


class Disagreement:
    """How much the members differ about the future.

    The standard deviation over the members (with n - 1), averaged over the latent dimensions, then
    over the imagined steps.

    Args:
        weight: β, the cost of one unit of disagreement.
        whitening: units in which the members are compared; raw if left out, where a weight means
            little from one latent space to the next.
        over: `mean` or `sum` over the imagined steps.
    """

    def __init__(
        self,
        weight: float,
        whitening: Whitening | None = None,
        over: Literal["mean", "sum"] = "mean",
    ) -> None:
        if over not in ("mean", "sum"):
            raise ForesightError(f"Disagreement cannot be taken over {over!r}: choose mean or sum.")
        self.weight = weight
        self.whitening = whitening
        self.over = over

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
        if self.whitening is not None:
            future = self.whitening(future)
        # The same as `std(0)`, which takes 25 times as long along a leading axis on a CPU; the
        # small number keeps the gradient finite where the members agree.
        variance = (future - future.mean(0)).square().sum(0) / (len(future) - 1)
        spread = (variance + 1e-12).sqrt().mean(-1)
        return self.weight * (spread.mean(-1) if self.over == "mean" else spread.sum(-1))


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
        weight: w.
    """

    def __init__(self, proposed: Float[Tensor, "B H A"], weight: float) -> None:
        self.proposed, self.weight = proposed, weight

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """The cost of each candidate."""
        return self.weight * (actions - self.proposed[:, None]).square().mean((-2, -1))


def _over_members(values: Tensor, how: Members) -> Cost:
    """`[E, B, S]` or `[M, E, B, S]` to `[B, S]`: futures are averaged, own members as asked."""
    if values.ndim == 4:
        values = values.mean(0) if how == "mean" else values.amin(0)
        return values.mean(0)
    return values.mean(0) if how == "mean" else values.amin(0)
