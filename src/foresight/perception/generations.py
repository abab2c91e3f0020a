"""Which V-JEPA a checkpoint is of: 2.0, or 2.1, whose code is another.

A 2.1 encoder turns other pairs of channels, scales its positions, adds a modality's embedding and
has norms of inner blocks. Its weights fit into a 2.0 encoder where nobody looks closely, and then
every feature is wrong and no error is raised. So each sign of 2.1 is enough to refuse: a tensor's
name, a part of the file, a flag of the configuration, or the name that Meta publishes it under.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from foresight.core.errors import ForesightError

TENSORS = (
    "patch_embed_img",
    "patch_embeddings_img",
    "img_mod_embed",
    "video_mod_embed",
    "norms_block",
    "distillation_norms",
)
"""Parts that only 2.1 has: image patches, modality embeddings, norms of inner blocks."""
PART = "ema_encoder"
"""What 2.1's distilled checkpoints call the averaged encoder."""
FLAGS = (
    "use_rope_interleave",
    "interpolate_rope",
    "use_modality_embeddings",
    "use_image_patch_embedder",
    "use_context_projection",
    "return_all_tokens",
    "img_temporal_dim_size",
    "teacher_embed_dim",
    "hierarchical_layers",
    "norm_layers",
    "rope_reference_grid",
)
"""Settings of a configuration that are absent, false or null in 2.0."""
COUNTS = ("num_distillation_outputs", "n_output_distillation")
"""Numbers of levels, 1 in 2.0."""
PUBLISHED = re.compile(r"v-?jepa-?2[._]1", re.IGNORECASE)


def refuse_tensor(name: str, full: str, source: str) -> None:
    """Refuse a tensor that only 2.1 has.

    Raises:
        ForesightError: it is one.
    """
    if any(part in name for part in TENSORS):
        raise ForesightError(_sentence(source, f"the weights {full}"))


def refuse_parts(held: Any, source: str) -> None:
    """Refuse a file with a part that only 2.1 has.

    Raises:
        ForesightError: it has one.
    """
    if isinstance(held, dict) and PART in held:
        raise ForesightError(_sentence(source, f"the part {PART}"))


def refuse_config(values: Mapping[str, Any], source: str) -> None:
    """Refuse a configuration that says 2.1, whatever names the weights have.

    Raises:
        ForesightError: it does; the message names the setting.
    """
    kind = str(values.get("model_type"))
    if PUBLISHED.search(kind) or "vjepa21" in kind:
        raise ForesightError(_sentence(source, f"model_type {kind!r}"))
    for name in FLAGS:
        if values.get(name):
            raise ForesightError(_sentence(source, f"{name} = {values[name]!r}"))
    for name in COUNTS:
        if isinstance(values.get(name), int) and values[name] > 1:
            raise ForesightError(_sentence(source, f"{name} = {values[name]!r}"))


def refuse_name(name: str, source: str) -> None:
    """Refuse a file, folder or hub id that is named as 2.1 is.

    Weights of 2.1 that somebody has given 2.0 names can be known by nothing else.

    Raises:
        ForesightError: it is.
    """
    if PUBLISHED.search(name):
        raise ForesightError(_sentence(source, f"the name {name}"))


def _sentence(source: str, found: str) -> str:
    return (
        f"{source} is a V-JEPA 2.1 checkpoint (found {found}), which has other rotations, "
        "embeddings and norms: give a V-JEPA 2 (2.0) one, such as vitl.pt or "
        "facebook/vjepa2-vitl-fpc64-256."
    )
