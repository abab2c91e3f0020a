"""Which V-JEPA a checkpoint is of, 2.0 or 2.1, and what only the second has to be told.

The names of the tensors decide. A 2.1 encoder turns other pairs of channels, scales its positions,
adds a modality's embedding and has norms of inner blocks; read as 2.0 it would run, and every
feature would be wrong. So weights are loaded whole or not at all, and a name or a configuration
that contradicts them is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foresight.core.errors import ForesightError
from foresight.perception.vit import VitConfig
from foresight.perception.vit21 import Vit21Config

TENSORS = ("patch_embed_img.", "img_mod_embed", "video_mod_embed", "norms_block.")
"""What only 2.1 has, in Meta's names: image patches, modality embeddings, norms of blocks."""
FLAGS = (
    "use_rope_interleave",
    "interpolate_rope",
    "use_modality_embeddings",
    "modality_embedding",
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
PUBLISHED = re.compile(r"v-?jepa-?2[._]?1(?!\d)", re.IGNORECASE)
LEVELS = {
    12: (2, 5, 8, 11),
    24: (5, 11, 17, 23),
    40: (9, 19, 29, 39),
    48: (11, 23, 37, 47),
}
"""Blocks after which a level is taken, by their number: what Meta's code says, where the paper's
table has 36 (counted from 1) for 37."""
SIZE = 384
"""Frames that the published weights are meant for."""


@dataclass(frozen=True)
class Hints:
    """What a name and a configuration say about a checkpoint.

    Attributes:
        sign: what calls it 2.1, in words; empty where nothing does.
        scaled: whether positions are scaled.
        levels: blocks after which levels are taken; empty where the number of blocks decides.
        tiled: whether a configuration of ``transformers`` asks for 2.0's rotations.
    """

    sign: str = ""
    scaled: bool = True
    levels: tuple[int, ...] = ()
    tiled: bool = False


def read_hints(values: Mapping[str, Any], name: str = "") -> Hints:
    """What a configuration says, and a file's, folder's or hub id's name."""
    kind = str(values.get("model_type"))
    signs = [f"{flag} = {values[flag]!r}" for flag in FLAGS if values.get(flag)]
    signs += [
        f"{count} = {values[count]!r}"
        for count in COUNTS
        if isinstance(values.get(count), int) and values[count] > 1
    ]
    if PUBLISHED.search(kind):
        signs.insert(0, f"model_type {kind!r}")
    if PUBLISHED.search(name):
        signs.append(f"the name {name}")
    levels = values.get("hierarchical_layers") or values.get("norm_layers") or ()
    # A configuration leaves out what is its default, which is 2.0's in the model that both share.
    plain = kind == "vjepa2"
    return Hints(
        signs[0] if signs else "",
        bool(values.get("interpolate_rope", not plain)),
        tuple(levels) if isinstance(levels, list | tuple) else (),
        not values.get("use_rope_interleave", not plain),
    )


def first_of_21(names: Iterable[str]) -> str:
    """The first tensor, by Meta's names, that only 2.1 has; empty for 2.0."""
    return next((name for name in sorted(names) if name.startswith(TENSORS)), "")


def settled(
    sizes: VitConfig, names: Iterable[str], hints: Hints, configured: bool, source: str
) -> VitConfig:
    """The configuration of the generation that the weights are of.

    Args:
        sizes: what both generations have.
        names: of the weights, in Meta's words.
        hints: what else is known.
        configured: whether a configuration of the whole model came with them.
        source: what to call it in messages.

    Raises:
        ForesightError: weights and configuration or name contradict each other, or the levels
            cannot be told.
    """
    found = set(names)
    tensor = first_of_21(found)
    if not tensor:
        if hints.sign:
            raise ForesightError(
                f"{source} is called V-JEPA 2.1 ({hints.sign}) but its weights have the names of "
                "2.0, whose rotations and positions are others: give the 2.1 file that they were "
                "made from."
            )
        return sizes
    if any(name.startswith("norm.") for name in found):
        raise ForesightError(
            f"{source} holds weights of V-JEPA 2.1 ({tensor}) and the final norm of 2.0: it mixes "
            "two encoders, give a whole one."
        )
    if configured and (hints.tiled or not hints.sign):
        raise ForesightError(
            f"{source} holds weights of V-JEPA 2.1 ({tensor}) with a configuration of 2.0 "
            "(use_rope_interleave is not set): fetch the configuration that belongs to them."
        )
    held = len({name.split(".")[1] for name in found if name.startswith("norms_block.")})
    levels = hints.levels or LEVELS.get(sizes.depth, ())
    if not 0 < held <= len(levels) or levels[-1] != sizes.depth - 1:
        raise ForesightError(
            f"{source} holds {held} norms_block for the levels {list(levels)} of {sizes.depth} "
            f"blocks: a whole V-JEPA 2.1 encoder has {', '.join(map(str, LEVELS))} blocks or names "
            "its hierarchical_layers, and a norm for each or for the last ones."
        )
    return Vit21Config.of(sizes, levels[-held:], hints.scaled)
