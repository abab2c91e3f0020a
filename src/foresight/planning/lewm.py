"""Planning with a LeWorldModel on the solvers that every other world model uses.

The published planner (arXiv 2603.19312): the cross-entropy method over blocks of actions, judged
by the distance of the last imagined embedding to that of a goal picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

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
    execute: int = 1
    """Blocks that are executed before the next plan."""
    warm: bool = True
    """Begin where the last plan goes on, where there is one."""
    judge: Literal["last", "nearest"] = "last"
    """last: the distance at the horizon; nearest: the least along the way, so that arriving early
    costs nothing."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the predictor's products."""


FAST_PLAN = LeWMPlan(samples=128, elites=16, iterations=8, held=True)
"""A search with a thirtieth of the candidates: one action a block."""


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


class LeWMDynamics:
    """The predictor as a dynamics over single actions: those of a block lead to one embedding.

    Futures have one entry for each block, not for each action.

    Args:
        model: in eval mode.
        dtype: of the products.
    """

    def __init__(self, model: LeWorldModel, dtype: torch.dtype = torch.float32) -> None:
        self.every, self.predictor = model.config.every, FastPredictor(model, dtype)
        self._seen: Float[Tensor, "B P D"] | None = None
        self._done: Float[Tensor, "B Q W"] | None = None

    def remember(self, seen: Float[Tensor, "B P D"], done: Float[Tensor, "B Q W"]) -> None:
        """Take in what was seen, the present one last, and the P - 1 blocks of actions between."""
        self._seen, self._done = seen, done

    def step(self, z: Tensor, action: Tensor) -> Tensor:
        """Not for single actions: whole futures are imagined at once."""
        raise NotImplementedError("LeWorldModel imagines whole blocks of actions")

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


class LeWMPlanner:
    """From embeddings seen to a plan of actions in [-1, 1].

    Args:
        model: trained, in eval mode.
        plan: how to search.
    """

    def __init__(self, model: LeWorldModel, plan: LeWMPlan) -> None:
        every, actions = model.config.every, model.config.actions
        self.plan_config, self.every = plan, every
        self.dynamics = LeWMDynamics(model, getattr(torch, plan.dtype))
        search = MPCConfig(
            solver="cem",
            horizon=plan.blocks * every,
            hold=every if plan.held else 1,
            samples=plan.samples,
            elites=plan.elites,
            iterations=plan.iterations,
            spread=plan.spread,
            min_std=plan.min_std,
            prior_samples=0,
            prior_weight=0.0,
        )
        high = torch.ones(actions, device=model.device)
        self.solver = make_solver(search, self.dynamics, -high, high)
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
            start = shift(self.last.actions, plan.execute * self.every)
        self.dynamics.remember(seen[None], done[None])
        self.last = self.solver.plan(seen[-1:], Objective(term), start)
        return self.last.actions[0]
