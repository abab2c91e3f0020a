"""Planning with a LeWorldModel on the solvers that every other world model uses.

The published planner (arXiv 2603.19312): the cross-entropy method over blocks of actions, judged
by the distance of the last imagined embedding to that of a goal picture.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.config import MPCConfig
from foresight.planning.objective import GoalDistance, Objective
from foresight.planning.solvers import Plan, make_solver, shift
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.lewm.rollout import FastPredictor


@dataclass(frozen=True)
class LeWMPlan:
    """How a LeWorldModel is planned with; the defaults are the published search."""

    blocks: int = 5
    """Imagined blocks of actions, the horizon."""
    samples: int = 300
    """Candidates of an iteration."""
    elites: int = 30
    """Candidates that the distribution is refitted to."""
    iterations: int = 30
    """Refinements of a plan."""
    spread: float = 1.0
    """Deviation of the first samples, in units of half the action range."""
    min_std: float = 0.02
    """Least deviation of later samples, in the same units."""
    held: bool = False
    """Search for one action a block, held for all of its steps, instead of every step's: a
    fifth of the numbers, which needs far fewer candidates."""
    execute: int | None = None
    """Blocks that are carried out before the next plan; all of it if not given."""
    warm: bool = True
    """Begin where the last plan goes on, where there is one."""
    judge: Literal["last", "nearest"] = "last"
    """last: the distance at the horizon; nearest: the least along the way. With ``last`` a plan has
    to be carried out to its end: made anew after every block, it may arrive later each time, and
    never comes."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the predictor's products."""

    def __post_init__(self) -> None:
        if not 1 <= self.carried_out <= self.blocks:
            raise ForesightError(
                f"{self.execute} blocks of a plan of {self.blocks} cannot be carried out: give 1 "
                f"to {self.blocks}."
            )

    @property
    def carried_out(self) -> int:
        """Blocks that are carried out before the next plan."""
        return self.blocks if self.execute is None else self.execute


FAST_PLAN = LeWMPlan(samples=128, elites=16, iterations=8, held=True, execute=1, judge="nearest")
"""A ninth of the candidates, one action a block, planned anew after every block."""


class NearestOnTheWay:
    """Euclidean distance to a goal at the nearest of the imagined moments.

    Args:
        goal: ``[D]``.
    """

    def __init__(self, goal: Float[Tensor, " D"]) -> None:
        self.goal = goal

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "B S"]:
        """Distance ``[B, S]``."""
        far = torch.linalg.vector_norm(imagined[..., 1:, :] - self.goal, dim=-1)
        return far.amin(-1).mean(0)


class BlockDynamics(ABC):
    """A dynamics over single actions that lead, block by block, to one embedding each.

    Futures have one entry for each block, not for each action.

    Args:
        every: actions of a block.
        actions: numbers of an action.
        device: where embeddings are.
    """

    def __init__(self, every: int, actions: int, device: torch.device | str = "cpu") -> None:
        self.every, self.actions, self.device = every, actions, torch.device(device)
        self._seen: Float[Tensor, "B P D"] | None = None
        self._done: Float[Tensor, "B Q W"] | None = None

    def remember(self, seen: Float[Tensor, "B P D"], done: Float[Tensor, "B Q W"]) -> None:
        """Take in what was seen, the present one last, and the P - 1 blocks of actions between."""
        self._seen, self._done = seen, done

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """Not for single actions: whole futures are imagined at once."""
        raise NotImplementedError("whole blocks of actions are imagined")

    @abstractmethod
    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H1 Z"]:
        """Embeddings now and after every block."""


class LeWMDynamics(BlockDynamics):
    """The predictor of a LeWorldModel.

    Args:
        model: in eval mode.
        dtype: of the products.
    """

    def __init__(self, model: LeWorldModel, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(model.config.every, model.config.actions, model.device)
        self.predictor = FastPredictor(model, dtype)

    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H1 Z"]:
        """Embeddings after every block."""
        seen, done = self._seen, self._done
        if seen is None or done is None:
            seen = z0[:, None]
            done = z0.new_zeros(len(z0), 0, self.every * actions.shape[-1])
        blocks = actions.unflatten(2, (-1, self.every)).flatten(3)
        return self.predictor.imagine(seen, done, blocks)[None]


class BlockPlanner:
    """From embeddings seen to a plan of actions in [-1, 1].

    Args:
        dynamics: what follows from actions.
        plan: how to search.
    """

    def __init__(self, dynamics: BlockDynamics, plan: LeWMPlan) -> None:
        self.plan_config, self.dynamics, self.every = plan, dynamics, dynamics.every
        search = MPCConfig(
            solver="cem",
            horizon=plan.blocks * self.every,
            hold=self.every if plan.held else 1,
            samples=plan.samples,
            elites=plan.elites,
            iterations=plan.iterations,
            spread=plan.spread,
            min_std=plan.min_std,
            prior_samples=0,
            prior_weight=0.0,
        )
        high = torch.ones(dynamics.actions, device=dynamics.device)
        self.solver = make_solver(search, dynamics, -high, high)
        self.last: Plan | None = None

    def reset(self, seed: int) -> None:
        """Forget the last plan and restart the random stream."""
        self.last = None
        self.solver.seed(seed)

    @torch.inference_mode()
    def plan(
        self,
        seen: Float[Tensor, "P D"],
        done: Float[Tensor, "Q W"],
        goal: Float[Tensor, " D"],
    ) -> Float[Tensor, "H A"]:
        """The actions that are imagined to end nearest to the goal.

        Args:
            seen: embeddings of the past, the present one last.
            done: the blocks of actions between them.
            goal: embedding of the goal picture.
        """
        plan = self.plan_config
        term = NearestOnTheWay(goal) if plan.judge == "nearest" else GoalDistance(goal)
        start = None
        if plan.warm and self.last is not None:
            start = shift(self.last.actions, plan.carried_out * self.every)
        self.dynamics.remember(seen[None], done[None])
        self.last = self.solver.plan(seen[-1:], Objective(term), start)
        return self.last.actions[0]


class LeWMPlanner(BlockPlanner):
    """Planning in what a LeWorldModel imagines.

    Args:
        model: trained, in eval mode.
        plan: how to search.
    """

    def __init__(self, model: LeWorldModel, plan: LeWMPlan) -> None:
        super().__init__(LeWMDynamics(model, getattr(torch, plan.dtype)), plan)
