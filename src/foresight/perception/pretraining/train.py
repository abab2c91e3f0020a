"""``foresight pretrain``: the loop, on one process or several under ``torchrun``."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors, fingerprint
from foresight.core.metrics import MetricsLog
from foresight.core.progress import console
from foresight.core.training_state import load_training, save_training
from foresight.perception.checkpoint import open_checkpoint
from foresight.perception.encoder import default_dtype, find_device
from foresight.perception.preprocess import normalise
from foresight.perception.pretraining.config import PretrainConfig
from foresight.perception.pretraining.frames import Clips, FrameBank
from foresight.perception.pretraining.health import RunningProbe, effective_rank
from foresight.perception.pretraining.masks import MASKS, draw_masks
from foresight.perception.pretraining.objective import MaskedPrediction, Target
from foresight.perception.vit import VisionTransformer, VitConfig, initialise
from foresight.perception.vit21 import VisionTransformer21

STATE = "pretraining.safetensors"


def pretrain(bank: FrameBank, config: PretrainConfig, folder: Path) -> VisionTransformer:
    """Train and return the target encoder (the average, which is the better one), in fp32.

    A killed run goes on from its last saved state. Under ``torchrun`` every process draws its own
    clips and gradients are averaged.

    Args:
        bank: the frames.
        config: everything else.
        folder: for ``pretraining.safetensors`` and ``metrics.jsonl``.

    Raises:
        ForesightError: the loss or its gradient is not finite, the state in ``folder`` belongs to
            another training, the frames do not fit the patches, there is no such device, or the
            folder cannot be written.
    """
    with _processes(config) as (rank, world):
        return _Training(bank, config, folder, rank, world).run()


class _Training:
    def __init__(
        self, bank: FrameBank, config: PretrainConfig, folder: Path, rank: int, world: int
    ) -> None:
        self.bank, self.config, self.rank, self.world = bank, config, rank, world
        self.device = _device(config.device, rank)
        self.dtype = default_dtype(self.device)
        self.masks = [MASKS[name] for name in config.masks]
        torch.manual_seed(config.seed)
        encoder = _start(_sizes(bank, config), config.init)
        model = MaskedPrediction(encoder, config.predictor, config.loss)
        self.target = Target(encoder)
        self.target.encoder.to(self.device)
        self.model = model.to(self.device)
        self.optimizer = _optimizer(model, config)
        self.state = _State(folder / STATE, self._identity(), model, self.target, self.optimizer)
        self.step, self.seconds = self.state.load()
        self.log = MetricsLog(folder / "metrics.jsonl") if rank == 0 else None
        if self.log:
            self.log.rewind(self.step)
        self.forward: Any = self.model
        if world > 1:
            self.forward = DistributedDataParallel(self.model)
        if config.compile:
            self.forward = torch.compile(self.forward, dynamic=True)
        self.probe = RunningProbe(bank) if config.probe_every and rank == 0 else None

    def run(self) -> VisionTransformer:
        config, started = self.config, time.monotonic() - self.seconds
        while (progress := self._progress(self.seconds)) < 1.0:
            record = self._update(progress)
            self.step += 1
            self.seconds = time.monotonic() - started
            if self.rank == 0:
                self._report(record, progress)
                if self.step % config.save_every == 0:
                    self.state.store(self.step, self.seconds)
        if self.rank == 0:
            self.state.store(self.step, self.seconds)
            if self.log:
                self.log.close()
        return self.target.encoder.float().cpu()

    def _progress(self, seconds: float) -> float:
        """Part of the training that is done; every process takes that of the first."""
        if self.config.updates is not None:
            return self.step / self.config.updates
        done = torch.tensor(seconds / (60 * self.config.minutes), device=self.device)
        if self.world > 1:
            torch.distributed.broadcast(done, 0)
        return float(done)

    def _update(self, progress: float) -> dict[str, Any]:
        config = self.config
        random = np.random.default_rng([config.seed, self.step, self.rank])
        frames = config.frames[self.step % len(config.frames)]
        clips = self.bank.draw(Clips(frames, config.strides), config.batch, random, config.shift)
        sizes = self.model.encoder.config
        grid = (frames // sizes.tubelet, *sizes.grid)
        masks = [draw_masks(mask, grid, config.batch, random) for mask in self.masks]
        masks = [(keep.to(self.device), hidden.to(self.device)) for keep, hidden in masks]
        for group in self.optimizer.param_groups:
            group["lr"] = _rate(config, progress)
        clip = normalise(torch.from_numpy(clips).to(self.device))
        with torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
            wanted = self.target(clip) if config.loss.latent or config.loss.dense else None
            loss, terms = self.forward(clip, wanted, masks, grid)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        # The norm is of all processes' gradients, so they stop together; weights stay finite.
        if not torch.isfinite(loss + norm):
            raise ForesightError(
                f"Update {self.step} has a loss of {float(loss.detach())} and a gradient of norm "
                f"{float(norm)}, which are not finite: lower the learning rate (now {config.lr})."
            )
        self.optimizer.step()
        momentum = _momentum(config, progress)
        self.target.follow(self.model.encoder, momentum)
        return {"loss": loss.detach(), "gradient": norm, "target": wanted, **terms}

    def _report(self, record: dict[str, Any], progress: float) -> None:
        config, log = self.config, self.log
        wanted = record.pop("target")
        probing = config.probe_every and self.step % config.probe_every == 0
        if log is None or not (probing or self.step % config.log_every == 0):
            return
        values = {name: float(value.detach()) for name, value in record.items()}
        values |= {"progress": progress, "seconds": self.seconds, "lr": _rate(config, progress)}
        if wanted is not None:
            flat = wanted.flatten(0, 1)
            values["target_spread"] = float(flat.std(0).mean())
            values["target_rank"] = effective_rank(flat[:: max(1, len(flat) // 2048)])
        if probing and self.probe is not None:
            with torch.autocast(self.device.type, self.dtype, self.dtype != torch.float32):
                found = self.probe(self.target.encoder, self.device)
            values |= {f"probe/{task}": value for task, value in found.items()}
            if found:
                values["probe"] = float(np.mean(list(found.values())))
        log.write(self.step, **values)
        if probing or self.step % (10 * config.log_every) == 0:
            shown = {k: v for k, v in values.items() if "/" not in k and k not in ("lr", "seconds")}
            text = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
            console.print(f"update {self.step}  {text}", highlight=False)

    def _identity(self) -> str:
        settings = asdict(self.config)
        for name in ("probe_every", "save_every", "log_every", "compile", "device"):
            del settings[name]
        if self.config.init is not None:  # its content, wherever it lies
            settings["init"] = open_checkpoint(self.config.init).fingerprint()
        data = self.bank.fingerprint
        return fingerprint({"config": settings, "data": data, "world": self.world})


class _State:
    """Everything a resumed training needs, in one file that appears by rename."""

    def __init__(
        self,
        path: Path,
        identity: str,
        model: MaskedPrediction,
        target: Target,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.path, self.identity = path, identity
        self.model, self.target, self.optimizer = model, target, optimizer
        with disk_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)

    def store(self, step: int, seconds: float) -> None:
        parts = {
            "model": self.model.state_dict(),
            "target": self.target.encoder.state_dict(),
        }
        notes = {"at": json.dumps({"step": step, "seconds": seconds})}
        save_training(self.path, self.identity, parts, self.optimizer, notes)

    def load(self) -> tuple[int, float]:
        state = load_training(self.path, self.identity)
        if state is None:
            return 0, 0.0
        self.model.load_state_dict(state.part("model"))
        self.target.encoder.load_state_dict(state.part("target"))
        state.restore(self.optimizer)
        at = json.loads(state.notes["at"])
        return int(at["step"]), float(at["seconds"])


@contextmanager
def _processes(config: PretrainConfig) -> Iterator[tuple[int, int]]:
    """Rank and number of processes; joins the group where ``torchrun`` started us."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield 0, 1
        return
    backend = "nccl" if find_device(config.device).type == "cuda" else "gloo"
    torch.distributed.init_process_group(backend)
    try:
        yield torch.distributed.get_rank(), world
    finally:
        torch.distributed.destroy_process_group()


def _device(name: str, rank: int) -> torch.device:
    """The device of a process; ``cuda`` without a number gives each process its own."""
    device = find_device(name)
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", rank % torch.cuda.device_count())
    return device


def _sizes(bank: FrameBank, config: PretrainConfig) -> VitConfig:
    height, width = bank.size
    if height % config.patch or width % config.patch:
        raise ForesightError(
            f"Frames of {height}x{width} pixels do not fit patches of {config.patch}: choose a "
            "patch size that divides them."
        )
    return VitConfig(
        height=height,
        width=width,
        patch=config.patch,
        dim=config.dim,
        depth=config.depth,
        heads=config.heads,
        hidden=4 * config.dim,
    )


def _start(sizes: VitConfig, init: str | None) -> VisionTransformer:
    """A new encoder, or the weights of a trained one of the same sizes.

    Raises:
        ForesightError: there is no such checkpoint, or it has other sizes.
    """
    if init is None:
        encoder = VisionTransformer(sizes)
        initialise(encoder)
        return encoder
    found, _ = open_checkpoint(init, (sizes.height, sizes.width)).load()
    if isinstance(found, VisionTransformer21):
        raise ForesightError(
            f"{init} is a V-JEPA 2.1 encoder, which is not trained on here: give one of V-JEPA 2."
        )
    if found.config != sizes:
        different = [
            f"{name} {value} instead of {asdict(sizes)[name]}"
            for name, value in asdict(found.config).items()
            if value != asdict(sizes)[name]
        ]
        raise ForesightError(
            f"{init} cannot be trained on with these settings ({', '.join(different)}): give the "
            "settings that it has, or another encoder."
        )
    return found.train().requires_grad_(True)


def _optimizer(model: nn.Module, config: PretrainConfig) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.98), fused=True)


def _rate(config: PretrainConfig, progress: float) -> float:
    if progress < config.warmup:
        return config.lr * max(0.01, progress / config.warmup)
    along = (progress - config.warmup) / (1 - config.warmup)
    return config.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, along))))


def _momentum(config: PretrainConfig, progress: float) -> float:
    first, last = config.momentum
    return last - (last - first) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
