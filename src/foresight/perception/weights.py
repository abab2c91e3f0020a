"""Encoder weights in memory: names, sizes and what they must be.

The names of Meta's release are used throughout. ``transformers`` has other names and splits query,
key and value; both are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.perception.generations import SIZE, first_of_21
from foresight.perception.vit import Attention, VisionTransformer, VitConfig
from foresight.perception.vit21 import VisionTransformer21, Vit21Config

State = dict[str, Tensor]
M = TypeVar("M", bound=nn.Module)

HEAD_DIM = 64
HEAD_DIMS = {1280: 80}
"""ViT-H has 16 heads over 1280 channels; all others have heads of 64 channels."""

PUBLISHED_SIZE = 256
PARTS = ("ema_encoder", "target_encoder", "encoder")
"""Copies of an encoder in one file, the one that is taken first: averages are what is evaluated,
and what Meta's own loader reads today (``ema_encoder`` in 2.1's distilled B and L)."""
CONTAINERS = ("state_dict", "model")
"""What trainers put all weights under."""
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "module", "model", "backbone", "vjepa2")
"""Words that torch.compile, parallel training and other models put into names."""
NOT_ENCODER = ("predictor", "pooler", "classifier")

_NAMES = (
    (re.compile(r"^embeddings\.patch_embeddings(_img)?\."), r"patch_embed\1."),
    (re.compile(r"^embeddings\.(img|video)_mod_embed$"), r"\1_mod_embed"),
    (re.compile(r"^distillation_norms\."), "norms_block."),
    (re.compile(r"^layer\."), "blocks."),
    (re.compile(r"\.attention\."), ".attn."),
    (re.compile(r"^layernorm\."), "norm."),
)

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LARGEST = 1e4
"""No weight of a trained encoder comes near it; beyond it products overflow."""


@dataclass(frozen=True)
class EncoderWeights:
    """The weights of one encoder, and where in a file they were.

    Attributes:
        tensors: under Meta's names.
        part: one of `PARTS`; empty where the file holds nothing else.
        prefix: what stood before the names and was left out, for example ``module.backbone.``.
    """

    tensors: State
    part: str = ""
    prefix: str = ""

    def __str__(self) -> str:
        """For example ``target_encoder, names without module.backbone.``."""
        names = f"names without {self.prefix}" if self.prefix else "names as they are"
        return f"{self.part or 'the whole file'}, {names}"


def encoder_part(held: Any, source: str, part: str | None = None) -> EncoderWeights:
    """The encoder's weights in a loaded PyTorch file, whichever of the usual keys they have.

    Args:
        held: what the file holds.
        source: what to call it in messages.
        part: one of `PARTS` where a file has several; None takes the first of them.

    Raises:
        ForesightError: there is none.
    """
    if isinstance(held, dict):
        for key in (part,) if part else PARTS:
            inside = held.get(key)
            if isinstance(inside, dict) and inside:
                found = meta_names(inside, source)
                return EncoderWeights(found.tensors, str(key), found.prefix)
        for key in CONTAINERS:
            if isinstance(held.get(key), dict) and held[key]:
                return encoder_part(held[key], source, part)
        if held and all(isinstance(value, Tensor) for value in held.values()):
            return meta_names(held, source, part)
    found_keys = ", ".join(map(str, held))[:80] if isinstance(held, dict) else type(held).__name__
    raise ForesightError(
        f"{source} holds no {part or 'encoder'} (found: {found_keys}): expected weights under "
        f"{' or '.join(PARTS)}, as in Meta's V-JEPA 2 files."
    )


def meta_names(tensors: State, source: str, part: str | None = None) -> EncoderWeights:
    """Weights under Meta's names, whatever they came under; what is no encoder is left out.

    Raises:
        ForesightError: a weight is there twice, or there is no such part.
    """
    copies: dict[str, State] = {}
    removed: dict[str, set[str]] = {}
    for full, value in tensors.items():
        words = without_wrappers(full).split(".")
        if words[0] in NOT_ENCODER:
            continue
        copy = ""
        while len(words) > 1 and words[0] in PARTS:
            copy = words.pop(0)
        name = _meta_name(".".join(words))
        if name == "pos_embed":  # of training runs without rotary embedding; never used here
            continue
        if name in copies.setdefault(copy, {}):
            raise ForesightError(
                f"{source} holds {name} twice, once as {full}: it mixes two models, save one alone."
            )
        copies[copy][name] = value
        removed.setdefault(copy, set()).add(_before(full, words[0]))
    chosen = _chosen(copies, source, part)
    stripped = sorted(removed.get(chosen, set()) - {""})
    found = copies.get("", {}) | copies.get(chosen, {})  # strays are told by name later
    return EncoderWeights(join_qkv(found), chosen, ", ".join(stripped))


def without_wrappers(name: str) -> str:
    """A tensor's name without the words of `WRAPPERS`, wherever they stand."""
    return ".".join(word for word in name.split(".") if word not in WRAPPERS)


def _chosen(copies: dict[str, State], source: str, part: str | None) -> str:
    """Which copy of the encoder is taken."""
    if part is not None and part not in copies:
        there = ", ".join(name for name in copies if name) or "none"
        raise ForesightError(f"{source} has no part {part!r} (found: {there}): name another.")
    return part or next((name for name in PARTS if name in copies), "")


def _before(full: str, word: str) -> str:
    """What stands before a word of a name."""
    return full[: full.index(f".{word}") + 1] if f".{word}" in full else ""


def _meta_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name)
    return name


def join_qkv(tensors: State) -> State:
    """Query, key and value as one matrix, where they come as three."""
    found = {}
    for name, value in tensors.items():
        head, dot, tail = name.partition(".attn.query.")
        if dot:
            parts = [
                tensors.get(f"{head}.attn.{part}.{tail}") for part in ("query", "key", "value")
            ]
            whole = [part for part in parts if part is not None]
            if len(whole) == 3:
                found[f"{head}.attn.qkv.{tail}"] = torch.cat(whole)
                continue
        if any(f".attn.{part}." in name for part in ("key", "value")):
            query = re.sub(r"\.attn\.(key|value)\.", ".attn.query.", name)
            if query in tensors:
                continue
        found[name] = value
    return found


def infer_config(tensors: State, source: str, size: tuple[int, int] | None) -> VitConfig:
    """Sizes from the shapes of weights under Meta's names.

    Args:
        tensors: the weights.
        source: what to call them in messages.
        size: height and width of a frame; None takes the published ones', which no weight tells.

    Raises:
        ForesightError: the weights that tell the sizes are missing or odd.
    """
    for name, ndim in (("patch_embed.proj.weight", 5), ("blocks.0.mlp.fc1.weight", 2)):
        if name not in tensors or tensors[name].ndim != ndim:
            raise ForesightError(
                f"{source} has no weights {name}: it is no V-JEPA 2 encoder, give one such as "
                "vitl.pt or a folder written by save_pretrained."
            )
    dim, channels, tubelet, patch, other = tensors["patch_embed.proj.weight"].shape
    heads, rest = divmod(dim, HEAD_DIMS.get(dim, HEAD_DIM))
    if channels != 3 or patch != other or rest:
        raise ForesightError(
            f"{source} has patches of {patch}x{other} pixels, {channels} colours and {dim} "
            "channels: expected square RGB patches and heads of 64 channels."
        )
    usual = SIZE if first_of_21(tensors) else PUBLISHED_SIZE
    height, width = size or (usual, usual)
    numbers = [int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))]
    return VitConfig(
        height=height,
        width=width,
        patch=patch,
        tubelet=tubelet,
        dim=dim,
        depth=max(numbers) + 1,
        heads=heads,
        hidden=tensors["blocks.0.mlp.fc1.weight"].shape[0],
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
    )


def build(tensors: State, config: VitConfig, source: str) -> VisionTransformer:
    """The encoder with these weights, see `fill`."""
    with torch.device("meta"):
        module = (
            VisionTransformer21(config)
            if isinstance(config, Vit21Config)
            else VisionTransformer(config)
        )
    return fill(module, tensors, source, "V-JEPA 2 encoder")


def fill(module: M, tensors: State, source: str, kind: str) -> M:
    """A module with these weights, frozen, in fp32 (weights that are fp32 are not copied).

    It is filled strictly: nothing missing, nothing left over.

    Args:
        module: made on the meta device.
        tensors: under its names.
        source: what to call them in messages.
        kind: what to call the module.

    Raises:
        ForesightError: weights are missing, unknown, or of another shape; the message names one.
    """
    expected = {name: value.shape for name, value in module.state_dict().items()}
    for verb, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("has unknown", tensors.keys() - expected.keys()),
    ):
        if names:
            raise ForesightError(
                f"{source} {verb} weights ({_some(names)}): it is no whole {kind}, fetch or make "
                "it again."
            )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ForesightError(
                f"{source} holds {name} as {list(tensors[name].shape)}, expected {list(shape)}: "
                "the weights do not fit the configuration, fetch or make it again."
            )
    check_values(tensors, source)
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    for child in module.modules():  # the one constant that was made on the meta device
        if isinstance(child, Attention):
            child.make_swap()
    return module.eval().requires_grad_(False)


def check_values(tensors: State, source: str) -> None:
    """Refuse numbers that no trained encoder has.

    Raises:
        ForesightError: weights that are not floating-point, not finite, huge, or zero throughout.
    """
    for name, value in tensors.items():
        if value.dtype not in DTYPES:
            raise ForesightError(
                f"{source} holds {name} as {str(value.dtype).removeprefix('torch.')}: quantised "
                "weights are not read, give the floating-point ones."
            )
        low, high = (float(bound) for bound in value.aminmax())
        largest = max(abs(low), abs(high))  # NaN goes through aminmax
        if not math.isfinite(low + high):
            count = int((~value.isfinite()).sum())
            raise ForesightError(
                f"{source} holds {count} of {value.numel()} weights of {name} that are not finite: "
                "the training that made them diverged or the file is damaged, use another."
            )
        if largest > LARGEST:
            raise ForesightError(
                f"{source} holds {name} with values up to {largest:.3g}, where trained weights "
                f"stay below {LARGEST:g}: it is no trained encoder, fetch or make it again."
            )
    if not any(value.any() for value in tensors.values()):
        raise ForesightError(
            f"{source} holds nothing but zeros: the file was never filled, fetch or make it again."
        )


def transformers_names(tensors: State) -> State:
    """Weights under Meta's names → the names and parts of ``transformers``."""
    found = {}
    for name, value in tensors.items():
        if ".attn.qkv." in name:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                found[_transformers_name(name.replace(".qkv.", f".{part}."))] = third.contiguous()
        else:
            found[_transformers_name(name)] = value.contiguous()
    return found


def _transformers_name(name: str) -> str:
    for ours, theirs in (
        ("patch_embed.", "embeddings.patch_embeddings."),
        ("blocks.", "layer."),
        (".attn.", ".attention."),
    ):
        name = name.replace(ours, theirs)
    if name.startswith("norm."):
        name = "layer" + name
    return f"encoder.{name}"


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 2} more" if len(listed) > 2 else ""
    return ", ".join(listed[:2]) + more
