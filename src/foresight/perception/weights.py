"""Encoder weights in memory: names, sizes and what they must be.

The names of Meta's release are used throughout. ``transformers`` has other names and splits query,
key and value; both are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.perception.vit import Attention, VisionTransformer, VitConfig

State = dict[str, Tensor]

HEAD_DIM = 64
HEAD_DIMS = {1280: 80}
"""ViT-H has 16 heads over 1280 channels; all others have heads of 64 channels."""

PUBLISHED_SIZE = 256
PREFIX = re.compile(r"^(?:(?:module|backbone|encoder)\.)+")
NOT_ENCODER = ("predictor.", "pooler.", "classifier.")
LATER_PARTS = ("patch_embed_img", "mod_embed", "norms_block")
"""Parts that only V-JEPA 2.1 has: image patches, modality embeddings, norms of inner blocks."""

DICT_KEYS = ("encoder", "target_encoder")
LATER_KEY = "ema_encoder"

_NAMES = (
    (re.compile(r"^embeddings\.patch_embeddings\."), "patch_embed."),
    (re.compile(r"^layer\."), "blocks."),
    (re.compile(r"\.attention\."), ".attn."),
    (re.compile(r"^layernorm\."), "norm."),
)


def encoder_part(held: Any, source: str) -> State:
    """The encoder's weights in a loaded ``.pt`` file, whichever of the published keys they have.

    Raises:
        ForesightError: there is none, or it is a V-JEPA 2.1 checkpoint.
    """
    if isinstance(held, dict):
        if LATER_KEY in held:
            raise ForesightError(_later(source))
        for key in DICT_KEYS:
            part = held.get(key)
            if isinstance(part, dict) and part:
                return part
        if held and all(isinstance(value, Tensor) for value in held.values()):
            return held
    found = ", ".join(map(str, held))[:80] if isinstance(held, dict) else type(held).__name__
    raise ForesightError(
        f"{source} holds no encoder (found: {found}): expected weights under "
        f"{' or '.join(DICT_KEYS)}, as in Meta's V-JEPA 2 files."
    )


def meta_names(tensors: State, source: str) -> State:
    """Weights under Meta's names, whatever they came under; what is no encoder is left out.

    Raises:
        ForesightError: the weights are of V-JEPA 2.1.
    """
    found: State = {}
    for full, value in tensors.items():
        whole = full.removeprefix("vjepa2.")
        if whole.startswith(NOT_ENCODER):
            continue
        name = PREFIX.sub("", whole)
        if any(part in name for part in LATER_PARTS):
            raise ForesightError(_later(source))
        if name == "pos_embed":  # of training runs without rotary embedding; never used here
            continue
        found[_meta_name(name)] = value
    return _joined(found)


def _meta_name(name: str) -> str:
    for pattern, replacement in _NAMES:
        name = pattern.sub(replacement, name)
    return name


def _joined(tensors: State) -> State:
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
        size: height and width of a frame; None takes 256, which no weight can tell.

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
    height, width = size or (PUBLISHED_SIZE, PUBLISHED_SIZE)
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
    """The encoder with these weights, frozen, in fp32 (weights that are fp32 are not copied).

    Raises:
        ForesightError: weights are missing, unknown, or of another shape; the message names one.
    """
    with torch.device("meta"):
        module = VisionTransformer(config)
    expected = {name: value.shape for name, value in module.state_dict().items()}
    for kind, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("has unknown", tensors.keys() - expected.keys()),
    ):
        if names:
            raise ForesightError(
                f"{source} {kind} weights ({_some(names)}): it is no whole V-JEPA 2 encoder, fetch "
                "or make it again."
            )
    for name, shape in expected.items():
        if tensors[name].shape != shape:
            raise ForesightError(
                f"{source} holds {name} as {list(tensors[name].shape)}, expected {list(shape)}: "
                "the weights do not fit the configuration, fetch or make it again."
            )
    module.load_state_dict({k: v.float() for k, v in tensors.items()}, assign=True)
    for child in module.modules():  # the one constant that was made on the meta device
        if isinstance(child, Attention):
            child.make_swap()
    return module.eval().requires_grad_(False)


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


def _later(source: str) -> str:
    return (
        f"{source} is a V-JEPA 2.1 checkpoint, which has other embeddings, rotations and norms: "
        "give a V-JEPA 2 (2.0) one, such as vitl.pt or facebook/vjepa2-vitl-fpc64-256."
    )
