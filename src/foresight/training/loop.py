"""The training loop: epochs of batches, a cosine schedule, and a state that survives a kill."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.core.files import late
from foresight.core.metrics import MetricsLog
from foresight.core.progress import track
from foresight.core.training_state import load_training, save_training
from foresight.perception.encoder import default_dtype
from foresight.worldmodel.dynamics.ensemble import clip_gradients

Batch = dict[str, Tensor]
Record = dict[str, float]


@dataclass(frozen=True)
class FitConfig:
    """How long and how fast to learn."""

    epochs: int = 30
    """Passes over the training windows; with `updates` the number of checks on held-out data."""
    updates: int = 0
    """Updates in all, rounded up to a multiple of the epochs, however many windows there are: the
    same budget for trainings that differ in horizon or data. 0 trains for whole passes."""
    batch: int = 512
    """Windows per update."""
    lr: float = 1e-3
    """Peak learning rate; it falls to zero along a cosine."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay."""
    clip: float = 10.0
    """Largest gradient norm; every member of an ensemble is clipped on its own."""
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    """Of the products; weights, sums and the optimiser stay float32. bfloat16 is faster where the
    machine has it (`foresight bench train`); auto takes it there."""
    seed: int = 0
    """Seeds initial weights, split and the order of windows."""
    device: str = "cpu"
    """Where the networks learn."""
    beta2: float = late(0.999)
    """Memory of the squared gradients; a shorter one suits gradients that are large at times."""
    warmup: int = late(0)
    """Updates in which the learning rate rises to its peak."""
    ema: float = late(0.0)
    """Judge and keep an exponential moving average of the weights, of this memory; 0 keeps the
    weights themselves. Early in training the memory is shorter: (1 + n) / (10 + n) after n
    updates."""

    def steps_per_epoch(self, batches: int) -> int:
        """Updates between two checks, where a pass over the data has so many batches."""
        return math.ceil(self.updates / self.epochs) if self.updates else batches


def fit(
    model: nn.Module,
    batches: Callable[[int], Iterator[Batch]],
    steps_per_epoch: int,
    loss: Callable[[Batch], tuple[Tensor, Record]],
    validate: Callable[[], Record],
    config: FitConfig,
    folder: Path,
    identity: str,
    select: str | None,
    tensorboard: bool = False,
    writes: bool = True,
) -> list[Record]:
    """Train ``model`` in place and leave it at its best epoch.

    After each epoch the weights, the best weights, the optimiser and the history are renamed into
    place as one file. A run killed at any moment goes on from the last finished epoch and ends at
    the same weights as an undisturbed one on the same machine.

    Args:
        model: trained in place, on the configuration's device; left on the CPU.
        batches: yields the batches of an epoch; the order may depend on the epoch's number only.
        steps_per_epoch: number of batches in an epoch, for the schedule.
        loss: a batch to its loss and numbers to log.
        validate: numbers on held-out episodes, called with the model in eval mode.
        config: length and speed.
        folder: where ``training.safetensors`` and ``metrics.jsonl`` go.
        identity: fingerprint of data and configuration; a state of another identity is refused.
        select: key of ``validate`` whose minimum is the best epoch; None takes the last one.
        tensorboard: log there as well.
        writes: whether this process keeps the files: of several that learn together, one does.

    Returns:
        One record per epoch.

    Raises:
        ForesightError: the folder holds another training's state, or the loss is not finite.
    """
    model.to(config.device)
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=(0.9, config.beta2),
        weight_decay=config.weight_decay,
    )
    state = _State(folder / "training.safetensors", identity, model, optimizer, config.ema > 0)
    history = state.resume()
    log = MetricsLog(folder / "metrics.jsonl", tensorboard=tensorboard) if writes else None
    if log is not None:
        log.rewind(len(history) - 1)
    total = max(1, config.epochs * steps_per_epoch)
    average = state.average
    for epoch in track(range(len(history), config.epochs), "train"):
        started = time.perf_counter()
        record = _epoch(
            model, batches(epoch), loss, optimizer, epoch * steps_per_epoch, total, config, average
        )
        model.eval()
        with _shown(model, average), torch.inference_mode():
            record |= validate()
        record |= {"epoch": float(epoch), "seconds": time.perf_counter() - started}
        history.append(record)
        if log is not None:
            log.write(epoch, **{k: v for k, v in record.items() if k != "epoch"})
        best = select is None or record[select] == min(r[select] for r in history)
        state.store(history, is_best=best, writes=writes)
    state.load_best()
    model.cpu().eval()
    return history


def products(config: FitConfig) -> torch.autocast:
    """A context in which products have the dtype that was asked for."""
    device = torch.device(config.device)
    half = config.dtype == "bfloat16" or (
        config.dtype == "auto" and default_dtype(device) == torch.bfloat16
    )
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def _epoch(
    model: nn.Module,
    batches: Iterator[Batch],
    loss: Callable[[Batch], tuple[Tensor, Record]],
    optimizer: torch.optim.Optimizer,
    step: int,
    total: int,
    config: FitConfig,
    average: dict[str, Tensor] | None = None,
) -> Record:
    """One pass of updates; the mean of what ``loss`` logged."""
    model.train()
    sums: Record = {}
    count = 0
    device = next(model.parameters()).device.type
    for found in batches:
        batch = {name: value.to(device) for name, value in found.items()}
        rate = config.lr * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))
        rate *= min(1.0, (step + 1) / max(1, config.warmup))
        for group in optimizer.param_groups:
            group["lr"] = rate
        with products(config):
            value, logs = loss(batch)
        if not torch.isfinite(value):
            raise ForesightError(
                f"The training loss became {float(value)} at update {step}: lower the learning "
                f"rate (now {config.lr}) or check the data with `foresight data check`."
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        clip_gradients(model, config.clip)
        optimizer.step()
        step += 1
        count += 1
        if average is not None:
            _follow(average, model, min(config.ema, (1 + step) / (10 + step)))
        for name, number in logs.items():
            sums[name] = sums.get(name, 0.0) + number
    return {f"train/{name}": number / max(1, count) for name, number in sums.items()}


@torch.no_grad()
def _follow(average: dict[str, Tensor], model: nn.Module, memory: float) -> None:
    """Move an average towards the present weights; buffers are copied, for statistics hold inf."""
    learned = {name for name, _ in model.named_parameters()}
    for name, value in model.state_dict().items():
        if name in learned:
            average[name].lerp_(value, 1 - memory)
        else:
            average[name].copy_(value)


@contextmanager
def _shown(model: nn.Module, average: dict[str, Tensor] | None) -> Iterator[None]:
    """The model with averaged weights for a while."""
    if average is None:
        yield
        return
    own = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(average)
    try:
        yield
    finally:
        model.load_state_dict(own)


class _State:
    """Weights, best weights, optimiser moments and history in one safetensors file."""

    def __init__(
        self,
        path: Path,
        identity: str,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        averaged: bool = False,
    ) -> None:
        self.path = path
        self.identity = identity
        self.model = model
        self.optimizer = optimizer
        self.best = self._weights()
        self.average = self._weights() if averaged else None

    def _weights(self) -> dict[str, Tensor]:
        return {k: v.detach().clone().contiguous() for k, v in self.model.state_dict().items()}

    def store(self, history: list[Record], is_best: bool, writes: bool = True) -> None:
        if is_best and self.average is not None:
            self.best = {name: value.clone() for name, value in self.average.items()}
        elif is_best:
            self.best = self._weights()
        if not writes:
            return
        parts = {"now": self.model.state_dict(), "best": self.best}  # copied where they are saved
        if self.average is not None:
            parts["average"] = self.average
        notes = {"history": json.dumps(history)}
        save_training(self.path, self.identity, parts, self.optimizer, notes)

    def resume(self) -> list[Record]:
        """Load the last finished epoch; an empty history when there is none."""
        state = load_training(self.path, self.identity)
        if state is None:
            return []
        self.model.load_state_dict(state.part("now"))
        self.best = state.part("best")
        if self.average is not None:
            for name, value in state.part("average").items():
                self.average[name].copy_(value)
        state.restore(self.optimizer)
        history: list[Record] = json.loads(state.notes["history"])
        return history

    def load_best(self) -> None:
        self.model.load_state_dict(self.best)
