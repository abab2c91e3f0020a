"""Speed of the encoder: ours and `transformers` in turns, beside what the machine can multiply.

Both sides get the same weights, clip, dtype and threads. `transformers` gets pixels that are
normalised already, ours takes them as bytes. The sides and the matrix product take turns, so that
whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foresight.core.episode import Episode
from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset
from foresight.evaluation.statistics import Row
from foresight.perception.checkpoint import transformers_config
from foresight.perception.encode import encode_dataset
from foresight.perception.encoder import DTYPES, Encoder, default_dtype
from foresight.perception.preprocess import normalise
from foresight.perception.readout_spec import parse_readout
from foresight.perception.weights import build, meta_names

FRAMES = 8
SMALL = {
    "crop_size": 64,
    "patch_size": 8,
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    # Never run, and made as small as the format allows.
    "pred_hidden_size": 24,
    "pred_num_hidden_layers": 1,
    "pred_num_attention_heads": 2,
}
VIT_L = SMALL | {
    "crop_size": 256,
    "patch_size": 16,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
}
SIZES: dict[str, dict[str, Any]] = {"small": SMALL, "vit-l": VIT_L}
# Clips per call: enough for every core to have its own.
CPU_BATCH = {"small": 32, "vit-l": 2}
GPU_BATCH = {"small": 64, "vit-l": 8}
PEAK_SIDES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
SECOND = 1.0
Clock = Callable[[], float]


@dataclass(frozen=True)
class SpeedConfig:
    """What to measure."""

    size: tuple[str, ...] = ("small",)
    """small (64 px, 192-d, 6 layers), vit-l (256 px, 1024-d, 24 layers; 3 GiB of memory), or
    both; random weights, speed does not depend on them."""
    rounds: int = 5
    """Turns of each side."""
    threads: int = 0
    """Threads of both sides; 0 leaves PyTorch's own number."""
    dtype: str = "auto"
    """bfloat16 or float32; auto is the fastest this machine has."""
    device: str = "cpu"
    """cpu or cuda."""
    batch: int = 0
    """Clips per call; 0 chooses for size and device."""
    cache_frames: int = 600
    """Frames of the run from a dataset to its feature cache, with the small size; 0 leaves it
    out."""


def encoder_speed(
    config: SpeedConfig,
    say: Callable[[Row], None] = lambda row: None,
    more: Iterable[Callable[[], Sequence[Row]]] = (),
) -> list[Row]:
    """Measure all sizes.

    Rows, with the size as task: ``clips-per-second`` of both sides, their
    ``ratio-to-transformers``, ``gemm-peak-tflops`` (torch's matrix product in that round),
    ``share-of-gemm-peak``, ``ms-per-clip``; ``largest-difference`` of their tokens in fp32;
    ``rounding``, how far each side's tokens are from those on average; and
    ``windows-per-second`` for each readout from a dataset to its cache. Where our blocks run in
    C++, the same blocks as torch's operations are a third side, ``uncompiled``.

    Args:
        config: what to measure.
        say: told each row as it is measured.
        more: further measurements for the same file, each giving rows.

    Raises:
        ForesightError: an unknown size, dtype or device.
    """
    device = _device(config)
    dtype = _dtype(config, device)
    unknown = [size for size in config.size if size not in SIZES]
    if unknown or config.rounds < 1:
        raise ForesightError(
            f"Sizes {config.size} in {config.rounds} rounds cannot be measured: choose from "
            f"{', '.join(SIZES)} and at least 1 round."
        )
    rows: list[Row] = []

    def add(found: Sequence[Row]) -> None:
        for row in found:
            say(row)
            rows.append(row)

    with torch_threads(config.threads):
        for size in config.size:
            batches = CPU_BATCH if device.type == "cpu" else GPU_BATCH
            pair = Pair(SIZES[size], config.batch or batches[size], device, dtype)
            for turn in range(config.rounds):
                add(_turn(pair, size, turn))
            add(_differences(pair, size))
            if size == "small" and config.cache_frames:
                add(_cache_rows(pair.ours, config.cache_frames))
        for measure in more:
            add(measure())
    return rows


class Pair:
    """One set of random weights in both implementations, and a clip for each.

    Args:
        settings: fields of a ``VJEPA2Config``.
        batch: clips per call.
        device: where both run.
        dtype: of both sides' products.
    """

    def __init__(
        self, settings: dict[str, Any], batch: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        from transformers import VJEPA2Config, VJEPA2Model

        torch.manual_seed(0)
        self.config = VJEPA2Config(**settings)
        self.batch, self.device, self.dtype = batch, device, dtype
        model = VJEPA2Model(self.config).eval().requires_grad_(False)
        self.ours = our_encoder(model, dtype, device)
        self.uncompiled = None
        if self.ours.trunk.native is not None:
            self.uncompiled = our_encoder(model, dtype, device, native=False)
        self.theirs = model.to(device, dtype)
        self.flops = encoder_flops(self.config, FRAMES)
        side = int(self.config.crop_size)
        rng = np.random.default_rng(0)
        frames = rng.integers(0, 256, (batch, FRAMES, side, side, 3), np.uint8)
        self.frames = torch.from_numpy(frames).to(device)
        self.pixels = normalise(self.frames).contiguous().to(dtype)

    def run_ours(self) -> Tensor:
        """Tokens by our encoder, ``[B, T/2, h, w, D]``."""
        return self.ours.encode(self.frames)

    @torch.no_grad()
    def run_theirs(self) -> Tensor:
        """Tokens by `transformers`, ``[B, N, D]``, without its predictor."""
        return self.theirs.get_vision_features(self.pixels)

    def sides(self) -> dict[str, Callable[[], Tensor]]:
        """Everything that is timed, by name, ours first."""
        found: dict[str, Callable[[], Tensor]] = {"foresight": self.run_ours}
        if self.uncompiled is not None:
            found["uncompiled"] = partial(self.uncompiled.encode, self.frames)
        return {**found, "transformers": self.run_theirs}


def _differences(pair: Pair, size: str) -> list[Row]:
    """How far both sides are apart in fp32, and each side in its dtype from fp32."""
    exact = Pair(SIZES[size], 1, pair.device, torch.float32)
    tokens = exact.run_ours().flatten(1, 3)
    apart = float((tokens - exact.run_theirs()).abs().max())
    rows: list[Row] = [{"measure": "largest-difference", "value": apart, "task": size}]
    for side, run in pair.sides().items():
        found = run()[:1].reshape(tokens.shape).float()
        value = float((found - tokens).abs().mean())
        rows.append({"measure": "rounding", "value": value, "task": size, "condition": side})
    return rows


def our_encoder(
    model: Any, dtype: torch.dtype, device: torch.device, native: bool = True
) -> Encoder:
    """Our encoder with the weights of a ``VJEPA2Model``, which keeps its own."""
    config = transformers_config(model.config.to_dict(), "the benchmark's model")
    tensors = meta_names(model.state_dict(), "the benchmark's model").tensors
    module = build(tensors, config, "the benchmark's model")
    return Encoder(module, "random-weights", "random-weights", dtype, device, native)


def encoder_flops(config: Any, frames: int) -> int:
    """Floating point operations of the encoder for one clip, two per multiply-add.

    Only products are counted: with N tokens, width D, MLP ratio r, L layers and patches of p
    pixels, ``2 N D 3 t p² + L (8 N D² + 4 N² D + 4 r N D²)``, t the frames of a tubelet.
    """
    patch = config.patch_size if isinstance(config.patch_size, int) else config.patch_size[0]
    tokens = frames // config.tubelet_size * (config.crop_size // patch) ** 2
    dim = config.hidden_size
    embedding = 2 * tokens * dim * config.in_chans * config.tubelet_size * patch**2
    hidden = int(dim * config.mlp_ratio)
    block = 8 * tokens * dim**2 + 4 * tokens**2 * dim + 4 * tokens * dim * hidden
    return int(embedding + config.num_hidden_layers * block)


def gemm_peak(
    device: torch.device, dtype: torch.dtype, clock: Clock = time.perf_counter, repeats: int = 8
) -> float:
    """Fastest product of two large square matrices in operations per second."""
    best = 0.0
    for side in PEAK_SIDES["cpu" if device.type == "cpu" else "cuda"]:
        left = torch.randn(side, side, device=device).to(dtype)
        right = torch.randn(side, side, device=device).to(dtype)
        out = torch.mm(left, right)
        for _ in range(repeats):
            taken = seconds_of(partial(torch.mm, left, right, out=out), device, clock)
            best = max(best, 2 * side**3 / taken)
    return best


def _turn(pair: Pair, size: str, turn: int) -> list[Row]:
    """One round: the peak, then the sides call by call."""
    sides = pair.sides()
    if turn == 0:
        for run in sides.values():
            run()
    peak = gemm_peak(pair.device, pair.dtype)
    taken = _typical(list(sides.values()), pair.device)
    speed = {side: pair.batch / seconds for side, seconds in zip(sides, taken, strict=True)}

    def row(measure: str, value: float, condition: str | None = None) -> Row:
        found: Row = {"measure": measure, "value": value, "task": size, "turn": turn}
        return found if condition is None else {**found, "condition": condition}

    rows = [row("gemm-peak-tflops", peak / 1e12)]
    for side in sides:
        rows += [
            row("clips-per-second", speed[side], side),
            row("ms-per-clip", 1000 / speed[side], side),
        ]
    for side in sides:
        share = pair.flops * speed[side] / peak
        rows.append(row("share-of-gemm-peak", share, None if side == "foresight" else side))
    return [
        *rows,
        row("ratio-to-transformers", speed["foresight"] / speed["transformers"]),
    ]


def _typical(runs: Sequence[Callable[[], Tensor]], device: torch.device) -> list[float]:
    """Median seconds of a call of each, in turns, over about a second each and three calls."""
    taken = np.empty((0, len(runs)))
    while len(taken) < 3 or (taken.sum() < SECOND * len(runs) and len(taken) < 1000):
        taken = np.vstack([taken, [seconds_of(run, device) for run in runs]])
    return [float(seconds) for seconds in np.median(taken, axis=0)]


def seconds_of(
    run: Callable[[], Any], device: torch.device, clock: Clock = time.perf_counter
) -> float:
    """Seconds that a call takes, on a GPU until its work is done."""
    if device.type != "cpu":
        torch.cuda.synchronize(device)
    begin = clock()
    run()
    if device.type != "cpu":
        torch.cuda.synchronize(device)
    return clock() - begin


def _cache_rows(encoder: Encoder, frames: int) -> list[Row]:
    """Windows per second of the whole way: reading videos, encoding, pooling, writing."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        store = moving_squares(Path(folder) / "data", encoder.image_size, frames)
        for spec in ("tubelet", "mean"):
            begin = time.perf_counter()
            encode_dataset(store, encoder, parse_readout(spec), Path(folder) / "cache")
            speed = sum(store.lengths) / (time.perf_counter() - begin)
            rows.append(
                {
                    "measure": "windows-per-second",
                    "value": speed,
                    "task": "small",
                    "condition": spec,
                }
            )
    return rows


def moving_squares(path: Path, size: int, frames: int, length: int = 100) -> Dataset:
    """A dataset of squares that move over a plain ground; needs no simulator."""
    spec = Spec(
        {"camera": (size, size)}, numbered_axes("state", 1), numbered_axes("action", 1), 50.0
    )
    with Dataset.create(path, spec) as store:
        for seed in range(max(1, frames // length)):
            steps = min(length, frames)
            rng = np.random.default_rng(seed)
            pictures = np.full((steps, size, size, 3), 40, np.uint8)
            side = max(4, size // 6)
            places = (rng.uniform(0, size - side, 2) + np.arange(steps)[:, None]) % (size - side)
            for picture, (row, column) in zip(pictures, places.astype(int), strict=True):
                picture[row : row + side, column : column + side] = (200, 90, 30)
            store.append(
                Episode(
                    images={"camera": pictures},
                    state=np.zeros((steps, 1), np.float32),
                    action=np.zeros((steps, 1), np.float32),
                    reward=None,
                    terminated=False,
                    task="squares",
                    fps=spec.fps,
                    info={"seed": seed},
                )
            )
    return store


def _device(config: SpeedConfig) -> torch.device:
    device = torch.device(config.device) if config.device in ("cpu", "cuda") else None
    if device is None or (device.type == "cuda" and not torch.cuda.is_available()):
        raise ForesightError(
            f"The device {config.device!r} cannot be measured here: use cpu, or cuda on a machine "
            "and a build of PyTorch that have it."
        )
    return device


def _dtype(config: SpeedConfig, device: torch.device) -> torch.dtype:
    if config.dtype == "auto":
        return default_dtype(device)
    if config.dtype not in DTYPES:
        raise ForesightError(
            f"The dtype {config.dtype!r} cannot be measured: use auto, bfloat16 or float32."
        )
    return DTYPES[config.dtype]
