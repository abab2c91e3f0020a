"""A plain vision transformer with a class token, as in arXiv 2010.11929."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.lewm.config import LeWMSizes

MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's colours in [0, 1], as published."""
EPS = 1e-6


class VisionTransformer(nn.Module):
    """Pictures to the class token after the last norm; absolute learned positions.

    Args:
        sizes: image, patch, width, depth, heads.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, sizes: LeWMSizes) -> None:
        super().__init__()
        self.image, self.patch = sizes.image, sizes.patch
        self.embed = nn.Linear(3 * sizes.patch**2, sizes.width)
        self.token = nn.Parameter(torch.zeros(1, 1, sizes.width))
        self.position = nn.Parameter(torch.zeros(1, sizes.patches + 1, sizes.width))
        self.blocks = nn.ModuleList(ViTBlock(sizes.width, sizes.heads) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(sizes.width, eps=EPS)
        self.register_buffer("mean", 255 * torch.tensor(MEAN), persistent=False)
        self.register_buffer("scale", 255 * torch.tensor(SCALE), persistent=False)
        for part in (self.token, self.position):
            nn.init.trunc_normal_(part, std=0.02)
        self.apply(_small)

    def forward(self, pictures: UInt8[Tensor, "N H W 3"]) -> Float[Tensor, "N D"]:
        """The class token of every picture."""
        side, count = self.image // self.patch, len(pictures)
        seen = (pictures.float() - self.mean) / self.scale
        seen = seen.view(count, side, self.patch, side, self.patch, 3)
        patches = seen.transpose(2, 3).reshape(count, side * side, -1)
        tokens = torch.cat([self.token.expand(count, -1, -1), self.embed(patches)], dim=1)
        tokens = tokens + self.position
        *blocks, last = self.blocks
        for block in blocks:
            tokens = block(tokens)
        return self.norm(last(tokens, first=True))[:, 0]


class ViTBlock(nn.Module):
    """Attention and MLP, each behind a norm and added.

    Args:
        width: of the tokens.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=EPS), nn.LayerNorm(width, eps=EPS)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Float[Tensor, "N T D"], first: bool = False) -> Float[Tensor, "N t D"]:
        """All tokens, or the first alone, where nothing reads the others any more."""
        split = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = split.unbind(0)
        if first:
            x, query = x[:, :1], query[:, :, :1]
        seen = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def _small(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
