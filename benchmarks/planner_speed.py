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

from benchmarks.encoder_speed import gemm_peak
from benchmarks.peers.swm_cem import CLOCKS
from benchmarks.planner_bench import ACTIONS, LAYERS, Bench
from benchmarks.planner_peer import Peer
from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.evaluation.statistics import Row
from foresight.perception.encoder import DTYPES, default_dtype
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel

PLAIN = MPCConfig(solver="cem", samples=128, elites=16, iterations=3, spread=0.5, min_std=0.02)
SOURCE_SEARCH = replace(PLAIN, samples=500, elites=50, iterations=5, horizon=8)
"""The planner of the source documents: 100,000 network evaluations a decision with five members."""
SIZES = {"source": SOURCE_SEARCH, "heads": PLAIN}
TASKS = {"source": "source-size", "heads": "heads", "default": "default"}
SAMPLES = (125, 250, 500, 1000)
HORIZONS = (2, 4, 8, 16)
PATCHES = 64
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
    (`MPCConfig`, judged by reward, value and disagreement), default (what the imagining agent
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
    ``ratio-to-stable-worldmodel`` (and ``same-dtype:`` of it); where ours imagines in C++, time,
    share and ratio of the same as torch's operations as ``uncompiled:``; ``action-difference``,
    the largest between the first actions chosen by ours and by the loop as a share of the action
    range, and ``cost-difference``, how much worse the loop judges our plan than its own, in
    standard deviations of the first candidates' costs (both also with our products in
    ``float32``).
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
            heads = size == "heads"
            bench = Bench(SIZES[size], heads, config.members, dtype, config.clock)
            add(bench.differences(TASKS[size]))
            with ExitStack() as stack:
                sides = _sides(config, bench, size, dtype, stack)
                for turn in range(config.rounds):
                    add(_turn(bench, sides, TASKS[size], turn))
        if config.scaling:
            add(_scaling(config, dtype))
    return rows


def _sides(
    config: PlannerSpeedConfig, bench: Bench, size: str, dtype: torch.dtype, stack: ExitStack
) -> dict[str, Side]:
    """What takes turns, by condition; ours first."""
    sides: dict[str, Side] = {"": bench.decide, "loop": bench.decide_in_a_loop}
    if bench.native:
        sides["uncompiled"] = bench.decide_uncompiled
    if config.peer is None or size != "source":
        return sides
    search = bench.search
    settings = {
        "samples": search.samples,
        "elites": search.elites,
        "iterations": search.iterations,
        "horizon": search.horizon,
        "deviation": search.spread,
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
    peak = gemm_peak(CPU, bench.dtype, bench.clock)
    taken = dict(zip(sides, _typical(list(sides.values())), strict=True))

    def row(measure: str, value: float, condition: str = "") -> Row:
        found: Row = {"measure": measure, "value": value, "task": task, "turn": turn}
        return {**found, "condition": condition} if condition else found

    ours = taken[""]
    rows = [row("gemm-peak-tflops", peak / 1e12)]
    rows += [row("milliseconds", 1000 * seconds, side) for side, seconds in taken.items()]
    for condition in ("", "uncompiled"):
        if condition in taken:
            seconds = taken[condition]
            rows += [
                row("share-of-gemm-peak", bench.flops / seconds / peak, condition),
                row("ratio-to-loop", taken["loop"] / seconds, condition),
            ]
    for condition in ("", "same-dtype"):
        side = f"stable-worldmodel{'-' if condition else ''}{condition}"
        if side in taken:
            rows.append(row("ratio-to-stable-worldmodel", taken[side] / ours, condition))
    return rows


def _scaling(config: PlannerSpeedConfig, dtype: torch.dtype) -> list[Row]:
    """Milliseconds of a decision with other numbers of samples or horizons than the sources'."""
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
    state = StateEncoderConfig("adapter", history=2)
    sizes = WorldModelConfig(
        task="any",
        actions=ACTIONS,
        action_low=tuple(-bound for bound in bounds),
        action_high=bounds,
        # The axes' numbers are given, so their source costs nothing.
        cameras=(CameraInput("camera", PATCHES, state.n_components),),
        state=state,
        dynamics=DynamicsConfig("simnorm", members=config.members, hidden=256, layers=2),
        heads=HeadsConfig(),
        discount=0.97,
        repeat=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WorldModel(sizes)
    imaginer = MPCPlanner.of(model, MPCConfig(), dtype=dtype)
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
