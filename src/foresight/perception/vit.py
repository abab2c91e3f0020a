"""The V-JEPA 2 vision transformer: one readable module for training and reference.

Parameters carry the names of Meta's release, so that its files load as they are. Frozen encoders
run through `foresight.perception.trunk`, which computes the same function faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from foresight.perception.rope import grid_positions, pair_swap, rotary_tables, rotate

INIT_STD = 0.02


@dataclass(frozen=True)
class VitConfig:
    """Sizes of an encoder.

    Attributes:
        height, width: of a frame in pixels, multiples of ``patch``.
        patch: side of a patch in pixels.
        tubelet: frames per token.
        dim: channels of a token (D).
        depth: number of blocks.
        heads: number of attention heads.
        hidden: channels inside an MLP.
        eps: of the layer norms.
        qkv_bias: whether query, key and value have a bias.
    """

    height: int
    width: int
    patch: int = 16
    tubelet: int = 2
    dim: int = 1024
    depth: int = 24
    heads: int = 16
    hidden: int = 4096
    eps: float = 1e-6
    qkv_bias: bool = True

    @property
    def head_dim(self) -> int:
        """Channels per head."""
        return self.dim // self.heads

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens along height and width."""
        return self.height // self.patch, self.width // self.patch


class PatchEmbed(nn.Module):
    """A linear map of each tubelet × patch × patch block of normalised pixels."""

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        size = (config.tubelet, config.patch, config.patch)
        self.proj = nn.Conv3d(3, config.dim, kernel_size=size, stride=size)

    def forward(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """Tokens ``[B, N, D]`` of a normalised clip ``[B, T, 3, H, W]``."""
        return functional.linear(self.patches(clip), self.proj.weight.flatten(1), self.proj.bias)

    def patches(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n p"]:
        """The blocks, flattened as the kernel is (channel, frame, row, column)."""
        batch, time, channels, height, width = clip.shape
        t, p, q = (int(n) for n in self.proj.kernel_size)
        split = clip.reshape(batch, time // t, t, channels, height // p, p, width // q, q)
        blocks = split.permute(0, 1, 4, 6, 3, 2, 5, 7)
        return blocks.reshape(batch, -1, channels * t * p * q)


class Attention(nn.Module):
    """Multi-head attention with rotated queries and keys."""

    swap: Tensor

    def __init__(self, dim: int, heads: int, bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=bias)
        self.proj = nn.Linear(dim, dim)
        self.make_swap()

    def make_swap(self) -> None:
        """The constant matrix of `rotate`; no weight."""
        dim = self.qkv.in_features
        with torch.device("cpu"):
            swap = pair_swap(dim // self.heads)
        self.register_buffer("swap", swap, persistent=False)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        cos: Float[Tensor, "#b 1 n k"],
        sin: Float[Tensor, "#b 1 n k"],
    ) -> Float[Tensor, "b n d"]:
        """Mixed tokens ``[B, N, D]``."""
        batch, tokens, dim = x.shape
        heads = self.qkv(x).view(batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4).unbind(0)
        swap, cos, sin = self.swap.to(q.dtype), cos.to(q.dtype), sin.to(q.dtype)
        q, k = rotate(q, cos, sin, swap), rotate(k, cos, sin, swap)
        mixed = attend(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))


def attend(
    q: Float[Tensor, "b a n k"], k: Float[Tensor, "b a m k"], v: Float[Tensor, "b a m k"]
) -> Float[Tensor, "b a n k"]:
    """Softmax attention.

    Where gradients are wanted on a CPU it is written out: the fused kernel's backward pass takes a
    third of a training step there.
    """
    if q.device.type != "cpu" or not (torch.is_grad_enabled() and q.requires_grad):
        return functional.scaled_dot_product_attention(q, k, v)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return scores.softmax(-1).to(v.dtype) @ v


class Mlp(nn.Module):
    """Two linear maps with an exact GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
        """Each token on its own."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm transformer block."""

    def __init__(
        self, dim: int, heads: int, hidden: int, eps: float = 1e-6, bias: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, hidden)

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        cos: Float[Tensor, "#b 1 n k"],
        sin: Float[Tensor, "#b 1 n k"],
    ) -> Float[Tensor, "b n d"]:
        """Tokens ``[B, N, D]`` after this block."""
        x = x + self.attn(self.norm1(x), cos, sin)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """The V-JEPA 2 encoder. ``torch.compile`` may wrap it; nothing depends on it.

    Args:
        config: sizes.
    """

    def __init__(self, config: VitConfig) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config)
        sizes = (config.dim, config.heads, config.hidden, config.eps, config.qkv_bias)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.dim, eps=config.eps)
        self._tables: dict[tuple[int, int, int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(
        self, clip: Float[Tensor, "b t 3 h w"], keep: Int[Tensor, "b k"] | None = None
    ) -> Float[Tensor, "b n d"]:
        """Tokens after the final norm, ordered tubelet, row, column.

        Args:
            clip: ImageNet-normalised frames ``[B, T, 3, H, W]``, T a multiple of the tubelet.
            keep: indices of the tokens to compute, the same number for each clip; the others are
                not seen at all (masked training). None keeps all.

        Returns:
            ``[B, N, D]``, or ``[B, K, D]`` in the order of ``keep``.
        """
        x, cos, sin = self.start(clip, keep)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.last_norm(x)

    def start(
        self, clip: Float[Tensor, "b t 3 h w"], keep: Int[Tensor, "b k"] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens before any block, and the cosines and sines of their places."""
        grid = (clip.shape[3] // self.config.patch, clip.shape[4] // self.config.patch)
        x = self.embed(clip)
        cos, sin = self.tables(self.tubelets(clip.shape[1]), *grid, x.device)
        if keep is None:
            return x, cos[None, None], sin[None, None]
        x = x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))
        return x, cos[keep][:, None], sin[keep][:, None]

    def embed(self, clip: Float[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """Tokens of a normalised clip before any block."""
        return self.patch_embed(clip)

    def tubelets(self, frames: int) -> int:
        """Tokens along time of so many frames."""
        return frames // self.config.tubelet

    @property
    def last_norm(self) -> nn.Module:
        """The norm behind the last block."""
        return self.norm

    def tables(
        self, tubelets: int, height: int, width: int, device: torch.device
    ) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n k"]]:
        """Rotary cosines and sines of a whole grid in fp32, computed once for each grid."""
        key = (tubelets, height, width, device)
        if key not in self._tables:
            cos, sin = self.angles(tubelets, height, width)
            self._tables[key] = (cos.float().to(device), sin.float().to(device))
        return self._tables[key]

    def angles(self, tubelets: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``[N, head_dim]`` of a grid in fp64."""
        return rotary_tables(grid_positions(tubelets, height, width), self.config.head_dim)


def initialise(module: nn.Module, generator: torch.Generator | None = None) -> None:
    """V-JEPA 2's initialisation, in place.

    Normal of std .02 cut at two of them, zero biases, unit norms; the output maps of block i
    (from 1) are divided by ``sqrt(2 i)``, so that the residual stream keeps its scale.
    """
    for child in module.modules():
        if isinstance(child, nn.Linear | nn.Conv3d):
            nn.init.trunc_normal_(
                child.weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator
            )
            if child.bias is not None:
                nn.init.zeros_(child.bias)
        elif isinstance(child, nn.LayerNorm):
            nn.init.ones_(child.weight)
            nn.init.zeros_(child.bias)
    for weight in module.parameters(recurse=False):  # of 2.1's modalities
        nn.init.trunc_normal_(weight, std=INIT_STD, generator=generator)
    blocks = getattr(module, "blocks", ())
    for index, block in enumerate(blocks, start=1):
        with torch.no_grad():
            block.attn.proj.weight.div_((2.0 * index) ** 0.5)
            block.mlp.fc2.weight.div_((2.0 * index) ** 0.5)
