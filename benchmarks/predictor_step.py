"""What an update of a frame-causal predictor takes, and that it does what it should at full size.

Each size learns a stretch of made-up frames for some updates; told are the seconds of an update,
the loss before and after, the most memory that an update held, and the largest difference between a
rollout that keeps keys and values and one that computes everything again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foresight.core.machine import held_gib, peak_gib
from foresight.perception.ac_predictor import normalise
from foresight.training.loop import products
from foresight.training.predictor.train import PredictorTraining
from foresight.worldmodel.predictor.config import (
    PredictorSizes,
    Size,
    named_sizes,
    window_flops,
)
from foresight.worldmodel.predictor.losses import PredictorLoss
from foresight.worldmodel.predictor.network import FramePredictor

DRIFT = 0.3
"""How far made-up tokens move from one frame to the next, in their own deviations."""


@dataclass(frozen=True)
class PredictorBench:
    """Measure an update of a frame-causal predictor: seconds, memory, loss, and the exact cache."""

    size: Size = "1m"
    """1m, 10m, 100m or 300m parameters."""
    batch: int = 4
    """Windows of an update."""
    frames: int = 8
    """Of a window."""
    updates: int = 20
    """That are taken."""
    horizon: int = 12
    """Imagined frames of the rollout."""
    dtype: str = "float32"
    """Of the products in an update: float32 or bfloat16; rollouts are compared in float32."""
    compile: bool = False
    """Compile the blocks."""
    device: str = "cpu"
    """Where it runs."""
    out: Path | None = None
    """Also write the result as JSON to this file."""


def predictor_step(options: PredictorBench) -> list[dict[str, Any]]:
    """Rows whose task is the size: ``parameters``, ``update-seconds``, ``loss`` (one for each
    update), ``peak-gib``, ``step-gib``, ``gflops`` and ``largest-difference``.

    ``step-gib`` is what updates held beyond the network itself: on a GPU the allocator's peak, on a
    processor the growth of the process.
    """
    torch.manual_seed(0)
    sizes = named_sizes(options.size, PredictorSizes(actions=3, context=options.frames))
    network = FramePredictor(sizes).to(options.device)
    frames, actions = _made_up(options, sizes)
    network.fit_scale(frames.flatten(0, 1))
    rows = [_row(options, "parameters", sum(p.numel() for p in network.parameters()))]
    if options.compile:
        for block in network.blocks:
            block.compile()
    rows += _updates(options, network, frames, actions)
    with torch.inference_mode():
        seen, told = frames[:1, :2], actions[:1].repeat(1, 8, 1)[:, : 1 + options.horizon]
        network.eval()
        cached = network.rollout(seen, told)
        plain = network.rollout(seen, told, cached=False)
    rows.append(_row(options, "largest-difference", float((cached - plain).abs().max())))
    return rows


def _updates(
    options: PredictorBench, network: FramePredictor, frames: Tensor, actions: Tensor
) -> list[dict[str, Any]]:
    cuda = options.device.startswith("cuda")
    usual = PredictorTraining().fit
    fit = replace(usual, dtype=options.dtype, device=options.device)  # type: ignore[arg-type]
    losses = PredictorLoss(network, PredictorTraining().loss)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, weight_decay=fit.weight_decay)
    rows, before = [], held_gib()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated() / 2**30
    for update in range(options.updates):
        begin = time.perf_counter()
        with products(fit):
            parts = losses(frames, actions)
            total = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), fit.clip)
        optimizer.step()
        value = float(total.detach())
        if update:  # the first one also sets everything up
            rows.append(_row(options, "update-seconds", time.perf_counter() - begin))
        rows.append(_row(options, "loss", value, update=update))
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else peak_gib()
    rows += [_row(options, "peak-gib", peak), _row(options, "step-gib", max(0.0, peak - before))]
    flops = 3 * options.batch * window_flops(network.sizes, options.frames - 1)
    flops += 3 * options.batch * window_flops(network.sizes, 2)
    return [*rows, _row(options, "gflops", flops / 1e9)]


def _made_up(options: PredictorBench, sizes: PredictorSizes) -> tuple[Tensor, Tensor]:
    """Tokens that drift as the actions say, along three fixed directions."""
    generator = torch.Generator().manual_seed(0)
    shape = (options.batch, options.frames, sizes.patches, sizes.dim)
    first = torch.randn(options.batch, 1, *shape[2:], generator=generator)
    ways = torch.randn(sizes.actions, *shape[2:], generator=generator)
    actions = torch.randn(options.batch, options.frames, sizes.actions, generator=generator)
    moved = torch.einsum("bta,and->btnd", actions, DRIFT * ways).cumsum(1)
    tokens = torch.cat([first, first + moved[:, :-1]], dim=1)
    return normalise(tokens).to(options.device), actions.to(options.device)


def _row(options: PredictorBench, measure: str, value: float, **more: Any) -> dict[str, Any]:
    return {"measure": measure, "value": float(value), "task": options.size, **more}
