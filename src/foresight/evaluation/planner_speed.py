"""Speed of the planner, beside a loop over the members and ``stable-worldmodel``'s CEM.

All sides search with the same network, samples, elites, iterations and horizon, and take turns with
the matrix product that they are measured by, so that whatever else the machine does falls on all
of them. The loop is fp32, one member after the other, as in the sources. The peer is measured in
fp32, which is what it does with a model as trained, and in the dtype of ours; in both as a loop or
as one stacked product, whichever is faster for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.agents.imagining import ImagineConfig, Imaginer
from foresight.errors import ForesightError
from foresight.evaluation.encoder_speed import PEAK_SIDES
from foresight.evaluation.peers.swm_cem import CLOCKS
from foresight.evaluation.planner_peer import Peer
from foresight.evaluation.statistics import Row
from foresight.machine import torch_threads
from foresight.perception.encoder import DTYPES, default_dtype
from foresight.planning.config import SOURCE_SEARCH, SearchConfig, make_solver
from foresight.planning.fast import FastDynamics
from foresight.planning.objective import (
    Disagreement,
    GoalDistance,
    Objective,
    PredictedReward,
    TerminalValue,
)
from foresight.planning.solvers import imagine
from foresight.worldmodel.joint import JointConfig, JointModel
from foresight.worldmodel.networks import ResidualDynamics, RewardModel

SIZES = {"source": SOURCE_SEARCH, "heads": SearchConfig()}
TASKS = {"source": "source-size", "heads": "heads", "default": "default"}
LATENT, ACTIONS, HIDDEN, LAYERS = 128, 6, 512, 3
ACTION_GAIN = 5.0  # a trained model listens to actions more than random weights do
SAMPLES = (125, 250, 500, 1000)
HORIZONS = (2, 4, 8, 16)
PLACES = 64
"""Tokens of a picture of foresight-small."""
SECOND = 1.0
CPU = torch.device("cpu")
Side = Callable[[], float]
"""Runs one decision and gives its seconds."""


@dataclass(frozen=True)
class PlannerSpeedConfig:
    """What to measure; the weights are random, speed does not depend on them."""

    size: tuple[Literal["source", "heads", "default"], ...] = ("source", "heads", "default")
    """source (500 samples, 5 iterations, horizon 8, judged by the distance to a goal), heads
    (`SearchConfig`, judged by reward, value and disagreement), default (what the imagining agent
    of `foresight run` does from tokens' numbers to an action), or several."""
    members: int = 5
    """Members of the ensemble."""
    rounds: int = 5
    """Turns of each side."""
    threads: int = 0
    """Threads of all sides; 0 leaves PyTorch's own number."""
    dtype: str = "auto"
    """bfloat16 or float32, of ours and the peer; auto is the fastest this machine has."""
    clock: Literal["wall", "cpu"] = "wall"
    """wall counts the time that passes; cpu the processor's own, with one thread, for a machine
    that does other things beside."""
    peer: Path | None = None
    """Python of a virtual environment with stable-worldmodel; left out, it is not measured."""
    scaling: bool = True
    """Also measure the cost against samples and horizon."""


def planner_speed(
    config: PlannerSpeedConfig, say: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Measure all sizes.

    Rows for the tasks ``source-size`` and ``heads``: ``milliseconds`` of a decision (also of the
    conditions loop, stable-worldmodel and stable-worldmodel-same-dtype), ``gemm-peak-tflops`` and
    ``share-of-gemm-peak`` (the dynamics' products alone count as work), ``ratio-to-loop``,
    ``ratio-to-stable-worldmodel`` (and ``same-dtype:`` of it); ``action-difference``, the largest
    between the first actions chosen by ours and by the loop as a share of the action range, and
    ``cost-difference``, how much worse the loop judges our plan than its own, in standard
    deviations of the first candidates' costs (both also with our products in ``float32``).
    ``samples-<S>:milliseconds@<H>`` of the task ``scaling``; and ``milliseconds`` alone of the task
    ``default``.

    Args:
        config: what to measure.
        say: told each row as it is measured.

    Raises:
        ForesightError: settings that cannot be measured, or a peer that does not run.
    """
    dtype = _checked(config)
    rows: list[Row] = []

    def add(found: Sequence[Row]) -> None:
        for row in found:
            say(row)
            rows.append(row)

    with torch_threads(config.threads or int(config.clock == "cpu")):
        for size in config.size:
            if size == "default":
                add(_agent(config, dtype))
                continue
            bench = Bench(SIZES[size], size == "heads", config.members, dtype, config.clock)
            add(bench.differences(TASKS[size]))
            with ExitStack() as stack:
                sides = _sides(config, bench, size, dtype, stack)
                for turn in range(config.rounds):
                    add(_turn(bench, sides, TASKS[size], turn))
        if config.scaling:
            add(_scaling(config, dtype))
    return rows


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
    """

    def __init__(
        self, search: SearchConfig, heads: bool, members: int, dtype: torch.dtype, clock: str
    ) -> None:
        generator = torch.Generator().manual_seed(0)
        self.search = search
        self.dtype = dtype
        self.clock = CLOCKS[clock]
        self.networks = [random_dynamics(seed) for seed in range(members)]
        self.z0 = torch.randn(1, LATENT, generator=generator)
        known = 2 * torch.rand(1, 1, search.horizon, ACTIONS, generator=generator) - 1
        self.reference = LoopDynamics(self.networks)
        self.goal = imagine(self.reference, self.z0, known).mean(0)[:, 0, -1]
        high = torch.ones(ACTIONS)
        self.fast = make_solver(search, FastDynamics(self.networks, dtype), -high, high)
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
            PredictedReward(reward, discount=0.99),
            TerminalValue(lambda z: value(z, torch.zeros_like(z[..., :1])), discount=0.99),
            Disagreement(0.1),
        )

    def decide(self) -> float:
        """Seconds of one decision by our planner."""
        return self._timed(lambda: self.fast.plan(self.z0, self.objective))

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
        exact = make_solver(self.search, FastDynamics(self.networks, torch.float32), -high, high)
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

    def peak(self, repeats: int = 8) -> float:
        """Fastest product of two large square matrices in operations per second."""
        best = 0.0
        for side in PEAK_SIDES["cpu"]:
            left, right = (torch.randn(side, side).to(self.dtype) for _ in range(2))
            out = torch.mm(left, right)
            for _ in range(repeats):
                taken = self._timed(partial(torch.mm, left, right, out=out))
                best = max(best, 2 * side**3 / taken)
        return best


def random_dynamics(seed: int) -> ResidualDynamics:
    """A network of the sources' width with random weights, norms included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ResidualDynamics(LATENT, ACTIONS, HIDDEN, LAYERS).requires_grad_(False)
        linears(network)[0].weight[:, LATENT:] *= ACTION_GAIN
        for norm in network.net:
            if isinstance(norm, nn.LayerNorm):
                norm.weight.uniform_(0.5, 1.5)
                norm.bias.normal_(0, 0.1)
    return network


def linears(network: ResidualDynamics) -> list[nn.Linear]:
    """Its linear layers."""
    return [module for module in network.net if isinstance(module, nn.Linear)]


def _sides(
    config: PlannerSpeedConfig, bench: Bench, size: str, dtype: torch.dtype, stack: ExitStack
) -> dict[str, Side]:
    """What takes turns, by condition; ours first."""
    sides: dict[str, Side] = {"": bench.decide, "loop": bench.decide_in_a_loop}
    if config.peer is None or size != "source":
        return sides
    search = bench.search
    settings = {
        "samples": search.samples,
        "elites": search.elites,
        "iterations": search.iterations,
        "horizon": search.horizon,
        "deviation": search.initial_deviation,
        "actions": ACTIONS,
        "layers": LAYERS,
        "threads": torch.get_num_threads(),
        "clock": config.clock,
    }
    scene = {"z0": bench.z0, "goal": bench.goal}
    peer = stack.enter_context(Peer(config.peer, bench.networks, scene, settings))
    for name, kind in (("", torch.float32), ("-same-dtype", dtype)):

        def run(form: str, kind: torch.dtype = kind) -> float:
            return peer.solve(form, kind)["seconds"]

        # The first call of each is a warm-up.
        forms = {form: min(run(form) for _ in range(3)) for form in ("loop", "stacked")}
        sides[f"stable-worldmodel{name}"] = partial(run, min(forms, key=forms.__getitem__))
    return sides


def _turn(bench: Bench, sides: dict[str, Side], task: str, turn: int) -> list[Row]:
    """One round: the peak, then all sides call by call."""
    peak = bench.peak()
    taken = dict(zip(sides, _typical(list(sides.values())), strict=True))

    def row(measure: str, value: float, condition: str = "") -> Row:
        found: Row = {"measure": measure, "value": value, "task": task, "turn": turn}
        return {**found, "condition": condition} if condition else found

    ours = taken[""]
    rows = [row("gemm-peak-tflops", peak / 1e12)]
    rows += [row("milliseconds", 1000 * seconds, side) for side, seconds in taken.items()]
    rows += [
        row("share-of-gemm-peak", bench.flops / ours / peak),
        row("ratio-to-loop", taken["loop"] / ours),
    ]
    for condition in ("", "same-dtype"):
        side = f"stable-worldmodel{'-' if condition else ''}{condition}"
        if side in taken:
            rows.append(row("ratio-to-stable-worldmodel", taken[side] / ours, condition))
    return rows


def _scaling(config: PlannerSpeedConfig, dtype: torch.dtype) -> list[Row]:
    """Milliseconds of a decision with more samples or a longer horizon than the sources'."""
    sizes = [(samples, SOURCE_SEARCH.horizon) for samples in SAMPLES]
    sizes += [(SOURCE_SEARCH.samples, steps) for steps in HORIZONS]
    benches = {}
    for samples, horizon in dict.fromkeys(sizes):
        search = replace(SOURCE_SEARCH, samples=samples, horizon=horizon)
        benches[samples, horizon] = Bench(search, False, config.members, dtype, config.clock)
    rows: list[Row] = []
    for turn in range(config.rounds):
        taken = _typical([bench.decide for bench in benches.values()])
        rows += [
            {
                "measure": "milliseconds",
                "value": 1000 * seconds,
                "task": "scaling",
                "condition": f"samples-{samples}",
                "horizon": horizon,
                "turn": turn,
            }
            for (samples, horizon), seconds in zip(benches, taken, strict=True)
        ]
    return rows


def _agent(config: PlannerSpeedConfig, dtype: torch.dtype) -> list[Row]:
    """Milliseconds of a decision of the imagining agent, with a model of the usual sizes."""
    bounds = (1.0,) * ACTIONS
    sizes = JointConfig(
        task="any",
        actions=ACTIONS,
        action_low=tuple(-bound for bound in bounds),
        action_high=bounds,
        places=PLACES,
        token_dim=JointConfig.axes,  # the axes' numbers are given, so their source costs nothing
        members=config.members,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = JointModel(sizes)
    imaginer = Imaginer(model, ImagineConfig(), dtype=dtype)
    seen = torch.randn(1, model.features, generator=torch.Generator().manual_seed(0))
    clock = CLOCKS[config.clock]

    def decide() -> float:
        begin = clock()
        imaginer.act(seen)
        return clock() - begin

    return [
        {
            "measure": "milliseconds",
            "value": 1000 * _typical([decide])[0],
            "task": TASKS["default"],
            "turn": turn,
        }
        for turn in range(config.rounds)
    ]


def _typical(runs: Sequence[Side]) -> list[float]:
    """Median seconds of each, in turns, over about a second each and at least three calls."""
    taken = np.empty((0, len(runs)))
    while len(taken) < 3 or (taken.sum() < SECOND * len(runs) and len(taken) < 1000):
        taken = np.vstack([taken, [run() for run in runs]])
    return [float(seconds) for seconds in np.median(taken, axis=0)]


def _checked(config: PlannerSpeedConfig) -> torch.dtype:
    unknown = [size for size in config.size if size not in TASKS]
    if unknown or not config.size or config.rounds < 1 or config.members < 2:
        raise ForesightError(
            f"Sizes {config.size} with {config.members} members in {config.rounds} rounds cannot "
            f"be measured: choose from {', '.join(TASKS)}, at least 2 members and 1 round."
        )
    if config.clock not in CLOCKS or (config.clock == "cpu" and config.threads > 1):
        raise ForesightError(
            f"The clock {config.clock!r} with {config.threads} threads cannot be used: choose "
            "wall, or cpu with 1 thread."
        )
    if config.dtype == "auto":
        return default_dtype(CPU)
    if config.dtype not in DTYPES:
        raise ForesightError(
            f"The dtype {config.dtype!r} cannot be measured: use auto, bfloat16 or float32."
        )
    return DTYPES[config.dtype]
