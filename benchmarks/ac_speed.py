"""Rollouts of V-JEPA 2-AC with and without the key/value cache, taking turns in one run.

Both sides imagine the same frames from one seen frame and give the same numbers (the largest
difference is a row of its own). Without the cache every step computes all frames again, as the
published notebook does.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from foresight.perception.ac_checkpoint import random_ac_predictor
from foresight.perception.ac_layers import ACConfig
from foresight.perception.ac_predictor import ACPredictor, normalise
from foresight.perception.encoder import DTYPES

Given = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Tokens, actions and the first pose."""


@dataclass(frozen=True)
class ACSpeedConfig:
    """What to roll out; the weights are random, speed does not depend on them."""

    dim: int = 1024
    """Features per token of the encoder."""
    width: int = 512
    """Width of the predictor; heads are 64 wide."""
    depth: int = 6
    """Blocks."""
    grid: int = 16
    """Patches per side of a frame."""
    steps: int = 8
    """Imagined frames."""
    batch: int = 1
    """Rollouts at once."""
    rounds: int = 3
    """Turns of each side."""
    dtype: str = "float32"
    """float32 or bfloat16."""
    device: str = "cpu"
    """Where it runs."""


def ac_speed(options: ACSpeedConfig) -> list[dict[str, Any]]:
    """Rows of ``rollout-seconds`` (conditions cached, uncached) and ``cached-over-uncached``.

    The ratio is how many times faster the cached rollout is; the task of all rows is ``ac``.
    """
    heads = options.width // 64
    sizes = ACConfig(
        dim=options.dim,
        width=options.width,
        depth=options.depth,
        heads=heads,
        hidden=4 * options.width,
        grid=options.grid,
        max_frames=max(options.steps, 2),
    )
    predictor = random_ac_predictor(sizes).compute_in(DTYPES[options.dtype]).to(options.device)
    given = _given(options, predictor)
    _, cached = _seconds(predictor, given, True)  # warm up, and look at what both give
    _, uncached = _seconds(predictor, given, False)
    rows = [_row("largest-difference", float((cached - uncached).abs().max()))]
    for turn in range(options.rounds):
        slow = _seconds(predictor, given, False)[0]
        fast = _seconds(predictor, given, True)[0]
        rows += [
            _row("rollout-seconds", slow, condition="uncached", turn=turn),
            _row("rollout-seconds", fast, condition="cached", turn=turn),
            _row("cached-over-uncached", slow / fast, turn=turn),
        ]
    return rows


def _given(options: ACSpeedConfig, predictor: ACPredictor) -> Given:
    generator = torch.Generator().manual_seed(0)
    config = predictor.config
    tokens = torch.randn(options.batch, config.patches, config.dim, generator=generator)
    actions = 0.05 * torch.randn(options.batch, options.steps, 7, generator=generator)
    pose = torch.zeros(options.batch, 1, 7)
    place = options.device
    return normalise(tokens).to(place), actions.to(place), pose.to(place)


def _seconds(predictor: ACPredictor, given: Given, cached: bool) -> tuple[float, torch.Tensor]:
    _finish(given[0].device)
    begin = time.perf_counter()
    out = predictor.rollout(*given, cached=cached)
    _finish(given[0].device)
    return time.perf_counter() - begin, out


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _row(measure: str, value: float, **more: Any) -> dict[str, Any]:
    return {"measure": measure, "value": value, "task": "ac", **more}
