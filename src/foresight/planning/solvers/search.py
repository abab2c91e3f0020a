"""What all solvers share: bounds, the random stream, held actions, priors and judging."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.objective import Objective
from foresight.planning.solvers.contracts import NonFiniteFuturesError, Plan, Prior
from foresight.planning.solvers.imagining import imagine
from foresight.worldmodel.dynamics.rollout import Dynamics

KEPT = 10
"""Candidates that a plan keeps as its elites, at least."""


class Search(ABC):
    """Base of the sampling solvers.

    A candidate is a sequence of D decisions, each held for H / D imagined steps.

    Args:
        config: how to search.
        dynamics: single or ensemble.
        low, high: action bounds ``[A]``; their device is where the search runs.
        prior: proposes some of the first candidates.
        seed: of the random stream, the configuration's if not given.

    Raises:
        ForesightError: settings that cannot be searched with.
    """

    def __init__(
        self,
        config: MPCConfig,
        dynamics: Dynamics,
        low: Float[Tensor, " A"],
        high: Float[Tensor, " A"],
        prior: Prior | None = None,
        seed: int | None = None,
    ) -> None:
        self.config, self.dynamics, self.low, self.high = config, dynamics, low, high
        self.prior, self.prior_samples = prior, config.prior_samples if prior is not None else 0
        self.horizon, self.samples = config.horizon, config.samples
        # What is refined after the search has to be kept by it.
        self.kept = max(KEPT, config.refine_count)
        self._prepare()
        self.decisions = config.horizon // config.hold
        self.generator = torch.Generator(device=low.device)
        self.generator.manual_seed(config.seed if seed is None else seed)

    def seed(self, seed: int) -> None:
        """Restart the random stream."""
        self.generator.manual_seed(seed)

    @abstractmethod
    def plan(
        self,
        z0: Float[Tensor, "B Z"],
        objective: Objective,
        warm_start: Float[Tensor, "B H A"] | None = None,
    ) -> Plan:
        """Search from ``z0``; ``warm_start`` is an earlier plan already shifted to now.

        Raises:
            NonFiniteFuturesError: no candidate of some scene has a finite cost.
        """

    def held(self, decisions: Float[Tensor, "*b D A"]) -> Float[Tensor, "*b H A"]:
        """Each decision written out for the steps it is held."""
        hold = self.config.hold
        return decisions if hold == 1 else decisions.repeat_interleave(hold, dim=-2)

    def to_decisions(self, actions: Float[Tensor, "*b H A"]) -> Float[Tensor, "*b D A"]:
        """Decisions nearest to a full sequence of actions: the mean of each held block."""
        hold = self.config.hold
        return actions if hold == 1 else actions.unflatten(-2, (-1, hold)).mean(-2)

    def _start(
        self, z0: Float[Tensor, "B Z"], warm_start: Float[Tensor, "B H A"] | None
    ) -> Float[Tensor, "B D A"]:
        """The sequence to search around: the warm start, or the middle of the bounds."""
        size = (len(z0), self.horizon, len(self.low))
        if warm_start is None:
            middle = (self.low + self.high) / 2
            return middle.expand(len(z0), self.decisions, len(self.low))
        if tuple(warm_start.shape) != size:
            raise ForesightError(
                f"The warm start is {list(warm_start.shape)} and must be {list(size)} (scenes, "
                "horizon, actions): give an earlier plan of this solver, shifted."
            )
        return self.to_decisions(warm_start)

    def _proposed(self, z0: Float[Tensor, "B Z"]) -> Float[Tensor, "B P D A"]:
        """The prior's candidates; none where there is no prior."""
        count = self.prior_samples
        if self.prior is None or count == 0:
            return z0.new_empty(len(z0), 0, self.decisions, len(self.low), dtype=self.low.dtype)
        drawn = self.prior.sample(z0, count, self.horizon, self.dynamics, self.generator)
        actions = drawn.to(self.low.dtype)
        size = (len(z0), count, self.horizon, len(self.low))
        if tuple(actions.shape) != size:
            raise ForesightError(
                f"The action prior gave {list(actions.shape)} and must give {list(size)} (scenes, "
                "samples, horizon, actions): correct its `sample`."
            )
        # A policy may fail where the model does; the middle is as good a candidate as any.
        actions = torch.where(actions.isfinite(), actions, (self.low + self.high) / 2)
        return self.to_decisions(actions).clamp(self.low, self.high)

    def _judge(
        self, z0: Float[Tensor, "B Z"], objective: Objective, decisions: Float[Tensor, "B S D A"]
    ) -> Float[Tensor, "B S"]:
        actions = self.held(decisions)
        cost = objective.cost(imagine(self.dynamics, z0, actions), actions).float()
        # A candidate whose imagination overflowed must lose, not poison the ranking.
        return torch.where(cost.isfinite(), cost, torch.inf)

    def _prepare(self) -> None:
        """Check the settings; each solver adds its own."""
        hold, low, high = self.config.hold, self.low, self.high
        if self.horizon < 1 or self.samples < 1:
            raise ForesightError(
                f"A planner needs horizon and samples of at least 1 and got {self.horizon} and "
                f"{self.samples}: raise them."
            )
        if low.shape != high.shape or low.ndim != 1 or not bool((low <= high).all()):
            raise ForesightError(
                f"Action bounds from {low.tolist()} to {high.tolist()} are no box: give two "
                "vectors of the same length with low ≤ high."
            )
        if hold < 1 or self.horizon % hold:
            raise ForesightError(
                f"Decisions held for {hold} steps do not fill a horizon of {self.horizon}: choose "
                "a number that divides it."
            )
        if not 0 <= self.prior_samples <= self.samples:
            raise ForesightError(
                f"{self.prior_samples} prior samples of {self.samples} candidates are refused: "
                "take 0 to all of them from the prior."
            )


def refuse_non_finite(costs: Float[Tensor, "B S"]) -> None:
    """Raise where a scene has no finite cost.

    Raises:
        NonFiniteFuturesError: naming the scene.
    """
    lost = ~costs.isfinite().any(-1)
    if lost.any():
        scene = int(lost.nonzero()[0])
        raise NonFiniteFuturesError(
            f"The world model imagined only non-finite futures in scene {scene}: it is damaged or "
            "its input is, train it again."
        )
