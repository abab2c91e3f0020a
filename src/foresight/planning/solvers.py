"""Solvers: random shooting and the cross-entropy method over imagined futures.

A solver knows a dynamics function, the action bounds and an objective; nothing of encoders or
environments. Everything is batched over B scenes and S candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.errors import ForesightError
from foresight.planning.objective import Objective


class Dynamics(Protocol):
    """Anything that predicts the next state."""

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """``z [..., Z], a [..., A] -> z' [..., Z]``."""
        ...


@runtime_checkable
class Imagining(Protocol):
    """A dynamics that is faster over whole futures than step by step."""

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H1 Z"]:
        """What `imagine` would give."""
        ...


@dataclass
class Iteration:
    """What one refinement of the search saw, for B scenes."""

    best: Float[Tensor, "B"]
    """Lowest cost among the candidates."""
    elite: Float[Tensor, "B"]
    """Mean cost of the candidates kept."""
    spread: Float[Tensor, "B"]
    """Mean standard deviation of the sampling distribution after the update."""


@dataclass
class Plan:
    """A solver's answer."""

    actions: Float[Tensor, "B H A"]
    cost: Float[Tensor, "B"]
    """Cost of the best candidate that was imagined."""
    trace: list[Iteration]


class Solver(Protocol):
    """Finds actions of low cost."""

    horizon: int

    def seed(self, seed: int) -> None:
        """Restart the random stream."""
        ...

    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Search from ``z0``; ``warm_start`` is an earlier plan already shifted to now."""
        ...


def imagine(
    dynamics: Dynamics, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
) -> Float[Tensor, "1 B S H1 Z"]:
    """Roll every candidate through the dynamics; the leading 1 is the ensemble axis."""
    if isinstance(dynamics, Imagining):
        return dynamics.imagine(z0, actions)
    state = z0[:, None].expand(-1, actions.shape[1], -1)
    states = [state]
    for action in actions.unbind(2):
        state = dynamics.step(state, action)
        states.append(state)
    return torch.stack(states, dim=2)[None]


def shift(actions: Float[Tensor, "B H A"]) -> Float[Tensor, "B H A"]:
    """Move a plan one step on: drop its first action and repeat its last."""
    return torch.cat([actions[:, 1:], actions[:, -1:]], dim=1)


class _Sampler:
    """What both solvers share: bounds, the random stream and the judging of candidates."""

    def __init__(
        self,
        dynamics: Dynamics,
        low: Float[Tensor, "A"],
        high: Float[Tensor, "A"],
        horizon: int,
        samples: int,
        seed: int,
    ) -> None:
        if horizon < 1 or samples < 1:
            raise ForesightError(
                f"A planner needs horizon and samples of at least 1 and got {horizon} and "
                f"{samples}: raise them."
            )
        self.dynamics = dynamics
        self.low = low
        self.high = high
        self.horizon = horizon
        self.samples = samples
        self.generator = torch.Generator(device=low.device).manual_seed(seed)

    def seed(self, seed: int) -> None:
        """Restart the random stream."""
        self.generator.manual_seed(seed)

    def _judge(
        self, z0: Float[Tensor, "B Z"], objective: Objective, actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "B S"]:
        cost = objective.cost(imagine(self.dynamics, z0, actions), actions)
        # A candidate whose imagination overflowed must lose, not poison the ranking.
        cost = torch.where(cost.isfinite(), cost, torch.inf)
        if not cost.isfinite().any(-1).all():
            raise ForesightError(
                "The world model imagined only non-finite futures: it is damaged or its input is, "
                "train it again."
            )
        return cost


class RandomShooting(_Sampler):
    """Uniform random action sequences, the best one wins (findings, phase 4: 1000 × 10)."""

    def __init__(
        self,
        dynamics: Dynamics,
        low: Float[Tensor, "A"],
        high: Float[Tensor, "A"],
        horizon: int = 10,
        samples: int = 1000,
        seed: int = 0,
    ) -> None:
        super().__init__(dynamics, low, high, horizon, samples, seed)

    @torch.inference_mode()
    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Search once; a warm start competes as one candidate."""
        shape = (len(z0), self.samples, self.horizon, len(self.low))
        uniform = torch.rand(shape, generator=self.generator, device=z0.device)
        actions = self.low + (self.high - self.low) * uniform
        if warm_start is not None:
            actions[:, 0] = warm_start
        cost = self._judge(z0, objective, actions)
        best, index = cost.min(-1)
        chosen = actions[torch.arange(len(z0)), index]
        spread = actions.std(1).mean((-2, -1)) if self.samples > 1 else torch.zeros(len(z0))
        return Plan(chosen, best, [Iteration(best, cost.mean(-1), spread)])


class CEM(_Sampler):
    """The cross-entropy method.

    The defaults are the sources' (findings, phase 4b).

    Samples from a diagonal Gaussian clipped to the bounds, refits it to the elites, and repeats.
    The mean itself competes as a candidate, so an iteration never loses a good warm start.
    """

    def __init__(
        self,
        dynamics: Dynamics,
        low: Float[Tensor, "A"],
        high: Float[Tensor, "A"],
        horizon: int = 10,
        samples: int = 500,
        elites: int = 50,
        iterations: int = 5,
        seed: int = 0,
        initial_deviation: float = 0.5,
        minimal_deviation: float = 0.02,
    ) -> None:
        """Deviations are in units of half the action range."""
        super().__init__(dynamics, low, high, horizon, samples, seed)
        if not 1 < elites <= samples:
            raise ForesightError(
                f"CEM got {elites} elites of {samples} samples: choose at least 2 and at most all."
            )
        self.elites = elites
        self.iterations = iterations
        half = (high - low) / 2
        self.initial = initial_deviation * half
        self.minimal = minimal_deviation * half

    @torch.inference_mode()
    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Refine a distribution over plans and return the best candidate ever imagined."""
        scenes, actions_dim = len(z0), len(self.low)
        rows = torch.arange(scenes)
        middle = (self.low + self.high) / 2
        mean = middle.expand(scenes, self.horizon, actions_dim)
        if warm_start is not None:
            mean = warm_start
        deviation = self.initial.expand_as(mean)
        best_cost = torch.full((scenes,), torch.inf, device=z0.device)
        best = mean
        trace = []
        for _ in range(self.iterations):
            candidates = self._sample(mean, deviation)
            cost = self._judge(z0, objective, candidates)
            values, index = cost.topk(self.elites, largest=False)
            elite = candidates[rows[:, None], index]
            better = values[:, 0] < best_cost
            best = torch.where(better[:, None, None], elite[:, 0], best)
            best_cost = torch.where(better, values[:, 0], best_cost)
            mean = elite.mean(1)
            deviation = elite.std(1).clamp(min=self.minimal)
            trace.append(Iteration(values[:, 0], values.mean(-1), deviation.mean((-2, -1))))
        return Plan(best, best_cost, trace)

    def _sample(
        self, mean: Float[Tensor, "B H A"], deviation: Float[Tensor, "B H A"]
    ) -> Float[Tensor, "B S H A"]:
        shape = (len(mean), self.samples, *mean.shape[1:])
        noise = torch.randn(shape, generator=self.generator, device=mean.device)
        candidates = mean[:, None] + deviation[:, None] * noise
        candidates[:, 0] = mean
        return candidates.clamp(self.low, self.high)
