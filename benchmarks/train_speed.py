"""Speed of training an ensemble: one batched product against a plain loop over its members.

Both sides make the same updates: the same weights, batches, loss and optimiser. They take turns
with the machine's matrix product, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from benchmarks.encoder_speed import Clock, gemm_peak, seconds_of
from benchmarks.joint_speed import JointSides, joint_turn
from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.evaluation.statistics import Row
from foresight.perception.encoder import DTYPES
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.losses import prediction_loss

SIZES = {"source-size": (1024, 512), "latent-128": (128, 512), "small-batch": (128, 64)}
"""Name to latent width and windows per update; the network is the sources' MLP, 512 wide."""
SECOND = 1.0

CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}


@dataclass(frozen=True)
class TrainSpeedConfig:
    """What to measure."""

    size: tuple[str, ...] = tuple(SIZES)
    """source-size (latent 1024, batch 512), latent-128 (batch 512), small-batch (latent 128, batch
    64)."""
    members: int = 5
    """Networks in the ensemble."""
    actions: int = 2
    """Action dimensions."""
    horizon: int = 1
    """Imagined steps in the loss."""
    rounds: int = 5
    """Turns of each side."""
    threads: int = 0
    """Threads of both sides; 0 leaves PyTorch's own number."""
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    """Of the batched side's products, and of the loop beside it."""
    device: str = "cpu"
    """cpu or cuda."""
    joint: bool = True
    """On a CPU, also an update of the whole joint model on one core, beside plain layers, one like
    TD-MPC2's and the time of its products alone."""
    clock: Literal["wall", "cpu"] = "wall"
    """wall counts the time that passes; cpu the processor's own, with one thread, for a machine
    that does other things beside."""


def train_speed(
    config: TrainSpeedConfig, say: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Measure all sizes.

    Rows, with the size as task: ``updates-per-second`` (one update moves all members; conditions
    ``batched-<dtype>`` and ``loop-<dtype>``), ``gemm-peak-tflops`` and ``share-of-gemm-peak`` of
    each dtype, ``ratio-to-loop`` in the same dtype, and ``ratio-to-float32-loop``. With ``joint``
    those of `benchmarks.joint_speed.joint_turn`, too.

    Args:
        config: what to measure.
        say: told each row as it is measured.

    Raises:
        ForesightError: an unknown size, dtype or device, or nothing to measure.
    """
    _check(config)
    rows: list[Row] = []
    with torch_threads(config.threads or int(config.clock == "cpu")):
        for size in config.size:
            sides = [Sides(size, dtype, config) for dtype in config.dtypes]
            for turn in range(config.rounds):
                for row in _turn(sides, size, turn, CLOCKS[config.clock]):
                    say(row)
                    rows.append(row)
    for row in _joint(config):
        say(row)
        rows.append(row)
    return rows


def _joint(config: TrainSpeedConfig) -> Iterator[Row]:
    """Rows of `joint_turn`, dtypes in turns."""
    if not config.joint or config.device != "cpu":
        return
    with torch_threads(1):
        dtypes = [DTYPES[name] for name in config.dtypes]
        sides = [JointSides(dtype) for dtype in dtypes]
        for turn in range(config.rounds):
            for each, dtype in zip(sides, dtypes, strict=True):
                yield from joint_turn(each, dtype, turn, CLOCKS[config.clock])


class Sides:
    """An ensemble and the same members on their own, each with an optimiser and the same data.

    Args:
        size: name of a size.
        dtype: of the products; weights and optimiser stay float32.
        config: members, horizon and device.
    """

    def __init__(self, size: str, dtype: str, config: TrainSpeedConfig) -> None:
        latent, batch = SIZES[size]
        self.name, self.dtype, self.device = dtype, DTYPES[dtype], torch.device(config.device)
        shape = DynamicsConfig("mlp", config.members)
        ensemble = EnsembleDynamics(shape, latent, config.actions, seed=0)
        self.members = [ensemble.member(i).to(self.device) for i in range(config.members)]
        self.ensemble = ensemble.to(self.device)
        generator = torch.Generator().manual_seed(0)
        lead = (config.members, batch)
        z = torch.randn(*lead, config.horizon + 1, latent, generator=generator)
        actions = torch.randn(*lead, config.horizon, config.actions, generator=generator)
        self.z, self.actions = z.to(self.device), actions.to(self.device)
        self.optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-4) for m in self.members]
        self.optimizer = torch.optim.AdamW(self.ensemble.parameters(), lr=1e-4)
        matrices = [p for p in self.ensemble.parameters() if p.ndim == 3]
        # Forward, and backward for inputs and for weights; two operations a multiply-add.
        self.flops = 6 * batch * config.horizon * sum(p.numel() for p in matrices)

    def batched(self) -> None:
        """One update of all members."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, self.dtype, enabled=self._lower):
            imagined = self.ensemble.apart(self.z[:, :, 0], self.actions)
            loss = prediction_loss(imagined[:, :, 1:], self.z[:, :, 1:])
        loss.sum().backward()
        self.optimizer.step()

    def loop(self) -> None:
        """The same, one member after the other."""
        for index, member in enumerate(self.members):
            self.optimizers[index].zero_grad(set_to_none=True)
            z, actions = self.z[index], self.actions[index]
            with torch.autocast(self.device.type, self.dtype, enabled=self._lower):
                loss = prediction_loss(member(z[:, 0], actions)[:, 1:], z[:, 1:])
            loss.backward()
            self.optimizers[index].step()

    @property
    def _lower(self) -> bool:
        return self.dtype != torch.float32


def _turn(sides: list[Sides], size: str, turn: int, clock: Clock) -> list[Row]:
    """One round: the peaks, then all sides update by update."""
    runs = [run for side in sides for run in (side.batched, side.loop)]
    if turn == 0:
        for run in runs:
            run()
    peaks = [gemm_peak(side.device, side.dtype, clock) for side in sides]
    taken = _typical(runs, sides[0].device, clock)
    speeds = 1 / torch.tensor(taken).view(-1, 2)
    rows: list[Row] = []

    def add(measure: str, value: float, condition: str) -> None:
        rows.append(
            {
                "measure": measure,
                "value": float(value),
                "task": size,
                "condition": condition,
                "turn": turn,
            }
        )

    exact = next((i for i, side in enumerate(sides) if side.dtype == torch.float32), None)
    for index, (side, peak) in enumerate(zip(sides, peaks, strict=True)):
        batched, loop = speeds[index].tolist()
        add("gemm-peak-tflops", peak / 1e12, side.name)
        add("updates-per-second", batched, f"batched-{side.name}")
        add("updates-per-second", loop, f"loop-{side.name}")
        add("share-of-gemm-peak", side.flops * batched / peak, side.name)
        add("ratio-to-loop", batched / loop, side.name)
        if exact is not None:
            add("ratio-to-float32-loop", batched / float(speeds[exact, 1]), side.name)
    return rows


def _typical(runs: list[Callable[[], None]], device: torch.device, clock: Clock) -> list[float]:
    """Median seconds of a call of each, in turns, over about a second each and three calls."""
    taken: list[list[float]] = []
    total = 0.0
    while len(taken) < 3 or (total < SECOND * len(runs) and len(taken) < 1000):
        taken.append([seconds_of(run, device, clock) for run in runs])
        total += sum(taken[-1])
    return [statistics.median(side) for side in zip(*taken, strict=True)]


def _check(config: TrainSpeedConfig) -> None:
    unknown = [size for size in config.size if size not in SIZES]
    if unknown or config.rounds < 1 or config.members < 1 or config.horizon < 1:
        raise ForesightError(
            f"Sizes {config.size} with {config.members} members, horizon {config.horizon} and "
            f"{config.rounds} rounds cannot be measured: choose from {', '.join(SIZES)} and at "
            "least 1 of each."
        )
    wrong = [dtype for dtype in config.dtypes if dtype not in ("float32", "bfloat16")]
    if wrong or not config.dtypes:
        raise ForesightError(
            f"The dtypes {config.dtypes} cannot be measured: choose float32, bfloat16 or both."
        )
    if config.clock == "cpu" and (config.device != "cpu" or config.threads > 1):
        raise ForesightError(
            f"The processor's clock cannot time {config.threads} threads on {config.device}: use "
            "the wall's, or one thread on cpu."
        )
    if config.device not in ("cpu", "cuda") or (
        config.device == "cuda" and not torch.cuda.is_available()
    ):
        raise ForesightError(
            f"The device {config.device!r} cannot be measured here: use cpu, or cuda on a machine "
            "and a build of PyTorch that have it."
        )
