"""Study ``vjepa21``: V-JEPA 2.1 beside outputs of Meta's code, and the speed of its C++ blocks.

The weights and outputs that it is held against are small and random, and lie in
``tests/data/vjepa21-reference``. Speed depends on sizes alone, so random weights of ViT-B's and
ViT-L's sizes stand for the published ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.encoder_speed import seconds_of
from foresight.core.checkout import ROOT
from foresight.core.progress import console
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.native import why_not
from foresight.perception.checkpoint import open_checkpoint
from foresight.perception.encoder import Encoder, default_dtype, load_encoder
from foresight.perception.generations import LEVELS
from foresight.perception.mask_predictor import load_mask_predictor
from foresight.perception.vit import VitConfig, initialise
from foresight.perception.vit21 import VisionTransformer21, Vit21Config
from studies.registry import Request

REFERENCE = ROOT / "tests" / "data" / "vjepa21-reference"
CASES = ("video", "grid7", "nonsquare", "image", "image_nonsquare")
SUBSETS = {"masked": "video", "masked_two": "video", "masked_nonsquare": "nonsquare",
           "masked_image": "image"}  # fmt: skip
PREDICTORS = ("predictor", "predictor_distilled")
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Speed:
    """What is timed.

    Attributes:
        sizes: by name: channels and blocks.
        side: of the frames in pixels.
        frames: of the one clip of a call.
        turns: of each side, one after the other.
    """

    sizes: dict[str, tuple[int, int]]
    side: int = 256
    frames: int = 8
    turns: int = 3


FULL = Speed({"vit-b": (768, 12), "vit-l": (1024, 24)})
SMOKE = Speed({"tiny": (64, 12)}, side=32, frames=2, turns=1)


def reproduce(request: Request) -> Result:
    """Rows ``largest-difference`` for everything that Meta's outputs are there for, and
    ``clips-per-second`` of torch's operations and, where they run here, of the C++ blocks.
    """
    speed = SMOKE if request.smoke else FULL
    rows = [*differences(REFERENCE)]
    dtype = default_dtype(CPU)
    for size, (dim, depth) in speed.sizes.items():
        console.print(f"[bold]{size}[/]: {speed.turns} turns")
        rows += timed(size, encoder_of(dim, depth, speed.side), speed)
    missing = (
        f"The rows of the C++ blocks are absent: {why_not()}, so nothing stands beside torch's "
        f"operations in {str(dtype).removeprefix('torch.')}."
    )
    notes = [] if any("native" in row.get("condition", "") for row in rows) else [missing]
    config = {
        "speed": speed,
        "dtype": str(dtype),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0],  # what else ran in the last minute slows both sides
    }
    return make_result("vjepa21", {**config, "notes": notes}, "none", rows)


def differences(folder: Path) -> Iterator[Row]:
    """How far fp32 is from Meta's outputs at most, the reference module and the fast trunk."""
    held = load_file(folder / "meta_vjepa21_encoder_small_io.safetensors")
    weights = folder / "meta_vjepa21_encoder_small.safetensors"
    module = open_checkpoint(weights).load()[0]
    assert isinstance(module, VisionTransformer21)
    clips = {case: held[f"{case}.clip_BCTHW"].float().transpose(1, 2) for case in CASES}
    for case, clip in clips.items():
        size = (clip.shape[3], clip.shape[4])
        fast = load_encoder(weights, dtype="float32", image_size=size)
        tokens, levels = held[f"{case}.tokens_BND"], held[f"{case}.levels_BN4D"]
        yield _row("tokens", case, module(clip), tokens)
        yield _row("levels", case, module.levels(clip), levels)
        yield _row("fast-tokens", case, fast.tokens(clip).flatten(1, 3), tokens)
        yield _row("fast-levels", case, fast.tokens(clip, levels=True).flatten(1, 3), levels)
    for case, shown in SUBSETS.items():
        sets = "M" if case == "masked_two" else ""
        keep, tokens = held[f"{case}.keep_{sets}BK"], held[f"{case}.tokens_{sets}BKD"]
        several = zip(keep, tokens, strict=True) if sets else ((keep, tokens),)
        found, expected = zip(*((module(clips[shown], k), t) for k, t in several), strict=True)
        yield _row("subset", case, torch.cat(found), torch.cat(expected))
        if f"{case}.levels_BK4D" in held:
            levels = module.levels(clips[shown], keep)
            yield _row("subset-levels", case, levels, held[f"{case}.levels_BK4D"])
    for kind in PREDICTORS:
        yield from _predicted(folder, kind)


def _predicted(folder: Path, kind: str) -> Iterator[Row]:
    held = load_file(folder / f"meta_vjepa21_{kind}_small_io.safetensors")
    for way, scaled, mask in (("hub", False, 1), ("train", True, 1), ("hub_mask6", False, 6)):
        module = load_mask_predictor(
            folder / f"meta_vjepa21_{kind}_small.safetensors", scaled=scaled
        )
        for case in ("video", "image"):
            given = [held[f"{case}.{name}"] for name in ("context_BKC", "keep_BK", "predict_BK")]
            answers = module(*given, still=case == "image", mask=mask)
            for what, found in zip(("predicted", "context_out"), answers, strict=True):
                name = f"{case}.{what}_{way}_BKC"
                if name in held:
                    yield _row(f"{kind}-{what}", f"{case}-{way}", found, held[name])


def _row(condition: str, task: str, found: Tensor, expected: Tensor) -> Row:
    apart = float((found - expected).abs().max())
    return {"measure": "largest-difference", "value": apart, "task": task, "condition": condition}


def encoder_of(dim: int, depth: int, side: int) -> VisionTransformer21:
    """Random weights of these sizes."""
    sizes = VitConfig(side, side, dim=dim, depth=depth, heads=dim // 64, hidden=4 * dim)
    module = VisionTransformer21(Vit21Config.of(sizes, LEVELS[depth]))
    initialise(module, torch.Generator().manual_seed(0))
    return module.eval().requires_grad_(False)


def timed(size: str, module: VisionTransformer21, speed: Speed) -> Iterator[Row]:
    """Clips per second of both sides in turns, and how many times faster the C++ blocks are."""
    shape = (1, speed.frames, speed.side, speed.side, 3)
    frames = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0))
    frames = frames.to(torch.uint8)
    state, dtype = module.state_dict(), default_dtype(CPU)
    sides = {"torch": Encoder(module, size, size, dtype, CPU, native=False)}
    again = VisionTransformer21(module.config)
    again.load_state_dict(state)
    native = Encoder(again.requires_grad_(False), size, size, dtype, CPU)
    if native.trunk.native is not None:
        sides["native"] = native
    for encoder in sides.values():
        encoder.encode(frames)
    for turn in range(speed.turns):
        rates = {
            side: 1 / seconds_of(partial(encoder.encode, frames), CPU)
            for side, encoder in sides.items()
        }
        for side, rate in rates.items():
            yield {"measure": "clips-per-second", "value": rate, "task": size, "turn": turn,
                   "condition": side}  # fmt: skip
        if "native" in rates:
            ratio = rates["native"] / rates["torch"]
            yield {"measure": "native-to-torch", "value": ratio, "task": size, "turn": turn}
