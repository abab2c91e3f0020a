"""Planning with V-JEPA 2-AC: its rollout as a dynamics, its energy as an objective.

The published planner (arXiv 2506.09985, section 3.2): CEM over the change of position and of the
gripper, judged by the mean L1 distance between the imagined last frame's tokens and the goal
image's. Both plug into the solvers that every other world model uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.perception.ac_cache import FrameCache
from foresight.perception.ac_predictor import ACPredictor
from foresight.perception.pose import WIDTH, integrate_pose
from foresight.planning.config import MPCConfig
from foresight.planning.objective import Cost
from foresight.planning.solvers import CEM

FREE = (0, 1, 2, 6)
"""The numbers of an action that are searched: the change of x, y, z and of the gripper."""


@dataclass(frozen=True)
class ACPlannerConfig:
    """The published planner's settings."""

    samples: int = 400
    """Candidates per iteration."""
    elites: int = 10
    """Candidates that CEM refits to."""
    iterations: int = 10
    """Refinements per decision."""
    horizon: int = 2
    """Imagined frames."""
    bound: float = 0.05
    """Largest change of each coordinate (metres) and of the gripper per frame."""


class ACDynamics:
    """The AC predictor as a dynamics over states z = (tokens of one frame, pose).

    Args:
        predictor: the predictor.
        free: which of the 7 numbers of an action are given; the others stay zero.
        chunk: candidates of each scene that are imagined at once; at full size one candidate's
            cache takes 50 MB per frame in fp32.
    """

    def __init__(self, predictor: ACPredictor, free: Sequence[int] = FREE, chunk: int = 64) -> None:
        if chunk < 1:
            raise ForesightError(f"Chunks of {chunk} candidates are refused: take at least 1.")
        self.predictor = predictor
        self.free = list(free)
        self.chunk = chunk
        self._past: FrameCache | None = None

    def state(
        self, tokens: Float[Tensor, "B N D"], pose: Float[Tensor, "B 7"]
    ) -> Float[Tensor, "B Z"]:
        """The state ``z`` of normalised tokens and a pose; Z = N * D + 7."""
        return torch.cat([tokens.flatten(1), pose.to(tokens.dtype)], dim=1)

    @torch.no_grad()
    def remember(
        self,
        tokens: Float[Tensor, "B TN D"],
        actions: Float[Tensor, "B T 7"],
        states: Float[Tensor, "B T 7"],
    ) -> None:
        """Take in the frames before the present one; all candidates share them in the cache.

        Raises:
            ForesightError: as `ACPredictor.forward`.
        """
        past = self.predictor.new_cache(len(tokens))
        self.predictor(tokens, actions, states, cache=past)
        self._past = past

    def forget(self) -> None:
        """Imagine from the present frame alone."""
        self._past = None

    def step(
        self, z: Float[Tensor, "*batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "*batch Z"]:
        """One imagined frame."""
        ahead = self.imagine(z.reshape(-1, z.shape[-1]), action.reshape(-1, 1, 1, len(self.free)))
        return ahead[0, :, 0, 1].view(z.shape)

    @torch.no_grad()
    def imagine(
        self, z0: Float[Tensor, "B Z"], actions: Float[Tensor, "B S H A"]
    ) -> Float[Tensor, "1 B S H1 Z"]:
        """Roll every candidate out, each frame computed once.

        Raises:
            ForesightError: more frames than the predictor's limit, or another number of scenes
                than `remember` was given.
        """
        scenes, samples, horizon, _ = actions.shape
        full = actions.new_zeros(scenes, samples, horizon, WIDTH)
        full[..., self.free] = actions
        out = z0.new_empty(1, scenes, samples, horizon + 1, z0.shape[1])
        for start in range(0, samples, self.chunk):
            part = full[:, start : start + self.chunk]
            out[0, :, start : start + self.chunk] = self._imagine(z0, part)
        return out

    def _imagine(self, z0: Tensor, actions: Tensor) -> Tensor:
        config = self.predictor.config
        scenes, copies, horizon, _ = actions.shape
        z = z0.repeat_interleave(copies, 0)
        taken = actions.flatten(0, 1)
        poses = [z[:, -WIDTH:]]
        for action in taken.unbind(1):
            poses.append(integrate_pose(poses[-1], action))
        path = torch.stack(poses, dim=1)
        cache = None if self._past is None else self._past.fork(copies, horizon)
        frames = self.predictor.rollout(
            z[:, :-WIDTH].view(len(z), config.patches, config.dim), taken, path[:, :-1], cache=cache
        )
        ahead = torch.cat([frames.view(len(z), horizon, -1).to(z.dtype), path[:, 1:]], dim=2)
        return torch.cat([z[:, None], ahead], dim=1).view(scenes, copies, horizon + 1, -1)


class TokenEnergy:
    """Mean L1 distance between the last imagined frame's tokens and the goal's.

    Args:
        goal: ``[B, N, D]`` or ``[N, D]``, normalised tokens of the goal image.
    """

    def __init__(self, goal: Float[Tensor, "B N D"] | Float[Tensor, "N D"]) -> None:
        self.goal = (goal if goal.ndim == 3 else goal[None]).flatten(1)

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Energy ``[B, S]``."""
        last = imagined[..., -1, : self.goal.shape[1]]
        return (last - self.goal[:, None]).abs().mean(-1).mean(0)


def ac_planner(dynamics: ACDynamics, config: ACPlannerConfig | None = None, seed: int = 0) -> CEM:
    """The published planner on the house's CEM; search with ``Objective(TokenEnergy(goal))``.

    Its plan's ``actions [B, H, 4]`` are those of `FREE`.
    """
    config = config or ACPlannerConfig()
    high = torch.full((len(dynamics.free),), config.bound, device=dynamics.predictor.device)
    search = MPCConfig(
        solver="cem",
        horizon=config.horizon,
        samples=config.samples,
        elites=config.elites,
        iterations=config.iterations,
        spread=1.0,
        min_std=0.02,
    )
    return CEM(search, dynamics, -high, high, seed=seed)
