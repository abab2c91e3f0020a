"""The V-JEPA 2.1 vision transformer: what it does otherwise than 2.0.

Stills have patches of their own, each modality an embedding that is added to every token, angles
turn neighbouring channels truly, positions are scaled to one range whatever the grid, and four
blocks have a norm each instead of one norm behind the last.

Source: V-JEPA 2.1 (arXiv 2603.14482) and its released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from foresight.perception.rope import grid_positions, rotary_tables, scaled_positions
from foresight.perception.vit import PatchEmbed, VisionTransformer, VitConfig


@dataclass(frozen=True)
class Vit21Config(VitConfig):
    """Sizes of a V-JEPA 2.1 encoder.

    Attributes:
        levels: the blocks, counted from 0, whose outputs have a norm; the last is the last block.
        scaled: whether rows and columns are scaled to one range, as all published weights want.
    """

    levels: tuple[int, ...] = ()
    scaled: bool = True

    @classmethod
    def of(cls, sizes: VitConfig, levels: Sequence[int], scaled: bool = True) -> Vit21Config:
        """The sizes of a 2.0 encoder with what 2.1 adds."""
        own = {item.name: getattr(sizes, item.name) for item in fields(VitConfig)}
        return cls(**own, levels=tuple(levels), scaled=scaled)


class VisionTransformer21(VisionTransformer):
    """The V-JEPA 2.1 encoder, under the names of Meta's release.

    A clip of one frame is a still: it goes through the patches and the embedding of images, and
    gives one token a patch. Any grid will do, square or not.

    Args:
        config: sizes.
    """

    config: Vit21Config
    img_mod_embed: nn.Parameter
    video_mod_embed: nn.Parameter

    def __init__(self, config: Vit21Config) -> None:
        super().__init__(config)
        del self.norm
        self.patch_embed_img = PatchEmbed(replace(config, tubelet=1))
        for name in ("img_mod_embed", "video_mod_embed"):
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 1, config.dim)))
        self.norms_block = nn.ModuleList(
            nn.LayerNorm(config.dim, eps=config.eps) for _ in config.levels
        )

    @property
    def last_norm(self) -> nn.Module:
        """The norm behind the last block."""
        return self.norms_block[-1]

    def levels(
        self, clip: Float[Tensor, "b t 3 h w"], keep: Int[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n e"]:
        """Each level through its own norm, side by side: ``[B, N, levels · D]``, shallow first.

        The last D channels are what `forward` gives; ``clip`` and ``keep`` are as there.
        """
        x, cos, sin = self.start(clip, keep)
        found: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin)
            if index in self.config.levels:
                found.append(self.norms_block[len(found)](x))
        return torch.cat(found, dim=-1)

    def embed(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """Tokens of a normalised clip, or of a still, before any block."""
        if clip.shape[1] == 1:
            return self.patch_embed_img(clip) + self.img_mod_embed
        return self.patch_embed(clip) + self.video_mod_embed

    def tubelets(self, frames: int) -> int:
        """Tokens along time of so many frames; a still has one."""
        return 1 if frames == 1 else super().tubelets(frames)

    def angles(self, tubelets: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``[N, head_dim]`` of a grid in fp64, whatever it is computed in."""
        place = scaled_positions if self.config.scaled else grid_positions
        return rotary_tables(place(tubelets, height, width), self.config.head_dim, pairs=True)
