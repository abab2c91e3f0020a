"""One search by our planner and by a plain one, on the same random networks, with a clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.peers.swm_cem import CLOCKS
from foresight.evaluation.statistics import Row
from foresight.planning.config import MPCConfig
from foresight.planning.fast import FastDynamics
from foresight.planning.native_dynamics import linears
from foresight.planning.objective import (
    Disagreement,
    GoalDistance,
    ImaginedReturn,
    Objective,
)
from foresight.planning.solvers import imagine, make_solver
from foresight.worldmodel.dynamics.residual import ResidualDynamics
from foresight.worldmodel.heads.mlp_reward import RewardModel

LATENT, ACTIONS, HIDDEN, LAYERS = 128, 6, 512, 3
ACTION_GAIN = 5.0  # a trained model listens to actions more than random weights do


class LoopDynamics:
    """An ensemble as it is usually written: one member after the other, step by step."""

    def __init__(self, networks: Sequence[ResidualDynamics]) -> None:
        self.networks = networks
        self.members = len(networks)

    def step(
        self, z: Float[Tensor, "E *batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "E *batch Z"]:
        """One imagined step of every member."""
        pairs = zip(self.networks, z, strict=True)
        return torch.stack([network.step(state, action) for network, state in pairs])


class Bench:
    """One search, by our planner and by the plain one.

    Args:
        search: its size.
        heads: judge by reward, value and disagreement instead of the distance to a goal.
        members: of the ensemble.
        dtype: of our products.
        clock: ``wall`` or ``cpu``.

    Attributes:
        native: whether ours imagines in C++.
    """

    def __init__(
        self,
        search: MPCConfig,
        heads: bool,
        members: int,
        dtype: torch.dtype,
        clock: str,
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self.search = search
        self.dtype = dtype
        self.clock = CLOCKS[clock]
        self.networks = [random_dynamics(seed, HIDDEN) for seed in range(members)]
        self.z0 = torch.randn(1, LATENT, generator=generator)
        known = 2 * torch.rand(1, 1, search.horizon, ACTIONS, generator=generator) - 1
        self.reference = LoopDynamics(self.networks)
        self.goal = imagine(self.reference, self.z0, known).mean(0)[:, 0, -1]
        high = torch.ones(ACTIONS)
        ours, plain = (fast_members(members, HIDDEN, dtype, native) for native in (True, False))
        self.native = ours.native is not None
        self.fast = make_solver(search, ours, -high, high)
        self.uncompiled = make_solver(search, plain, -high, high)
        self.loop = make_solver(search, self.reference, -high, high)
        self.objective = self._objective(dtype if heads else None)
        self.loop_objective = self._objective(torch.float32 if heads else None)
        steps = search.samples * search.iterations * search.horizon * members
        self.flops = 2 * steps * sum(m.weight.numel() for m in linears(self.networks[0]))

    def _objective(self, heads: torch.dtype | None) -> Objective:
        if heads is None:
            return Objective(GoalDistance(self.goal))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            reward = RewardModel(LATENT, ACTIONS).requires_grad_(False).to(heads)
            # A value is a reward without an action: the same network with one number of input.
            value = RewardModel(LATENT, 1).requires_grad_(False).to(heads)
        return Objective(
            ImaginedReturn(reward, lambda z: value(z, torch.zeros_like(z[..., :1])), 0.99),
            Disagreement(0.1),
        )

    def decide(self) -> float:
        """Seconds of one decision by our planner."""
        return self._timed(lambda: self.fast.plan(self.z0, self.objective))

    def decide_uncompiled(self) -> float:
        """Seconds of one decision by our planner, imagining by torch's operations."""
        return self._timed(lambda: self.uncompiled.plan(self.z0, self.objective))

    def decide_in_a_loop(self) -> float:
        """Seconds of one decision by the plain planner."""
        return self._timed(lambda: self.loop.plan(self.z0, self.loop_objective))

    def _timed(self, run: Callable[[], object]) -> float:
        begin = self.clock()
        run()
        return self.clock() - begin

    def differences(self, task: str, seeds: int = 3) -> list[Row]:
        """How far what ours chooses is from what the loop chooses, with the same seeds."""
        high = torch.ones(ACTIONS)
        exact_members = fast_members(len(self.networks), HIDDEN, torch.float32)
        exact = make_solver(self.search, exact_members, -high, high)
        sides = (("", self.fast, self.objective), ("float32", exact, self.loop_objective))
        rows: list[Row] = []
        for seed in range(seeds):
            self.loop.seed(seed)
            theirs = self.loop.plan(self.z0, self.loop_objective)
            spread = theirs.trace[0].costs.std()
            for condition, solver, objective in sides:
                solver.seed(seed)
                ours = solver.plan(self.z0, objective).actions
                action = (ours[:, 0] - theirs.actions[:, 0]).abs().max() / 2
                futures = imagine(self.reference, self.z0, ours[:, None])
                cost = self.loop_objective.cost(futures, ours[:, None])[0] - theirs.cost
                about = {"task": task, "turn": seed}
                if condition:
                    about["condition"] = condition
                rows += [
                    {"measure": "action-difference", "value": float(action), **about},
                    {"measure": "cost-difference", "value": float(cost / spread), **about},
                ]
        return rows


@cache
def fast_members(
    members: int, hidden: int, dtype: torch.dtype, native: bool = True
) -> FastDynamics:
    """An ensemble of random networks; made once, as several benches ask for it."""
    return FastDynamics([random_dynamics(seed, hidden) for seed in range(members)], dtype, native)


def random_dynamics(seed: int, hidden: int = HIDDEN) -> ResidualDynamics:
    """A network of the sources' width with random weights, norms included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResidualDynamics(LATENT, ACTIONS, hidden, LAYERS).requires_grad_(False)
        linears(network)[0].weight[:, LATENT:] *= ACTION_GAIN
        for norm in network.net:
            if isinstance(norm, nn.LayerNorm):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.1)
    return network
