"""What the AC predictor is made of: sizes, attention over frames, blocks, rotary tables."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.perception.ac_cache import KeysAndValues
from foresight.perception.rope import grid_positions, rotary_tables

EXTRINSICS = 6


@dataclass(frozen=True)
class ACConfig:
    """Sizes of the predictor; the defaults are the published model's."""

    dim: int = 1408
    """Features per token of the encoder (D)."""
    width: int = 1024
    """Features per token inside the predictor."""
    depth: int = 24
    """Blocks."""
    heads: int = 16
    """Attention heads."""
    hidden: int = 4096
    """Hidden features of a block's MLP."""
    grid: int = 16
    """Patches per side of a frame (256 pixels / 16)."""
    max_frames: int = 32
    """Longest sequence."""
    actions: int = 7
    """Numbers of an action and of a pose."""

    @property
    def patches(self) -> int:
        """Tokens of one frame (N)."""
        return self.grid**2


def mix(
    query: Float[Tensor, "b h q k"],
    keys: Float[Tensor, "b h n k"],
    values: Float[Tensor, "b h n k"],
) -> Float[Tensor, "b h q k"]:
    """Scaled dot-product attention, by plain products where PyTorch's fused one is slow.

    On a processor the fused kernel's gradients in bfloat16 take three times as long as plain
    products do (heads of 32 to 64 channels, up to 536 keys); everywhere else it is the faster one.
    """
    learned = torch.is_grad_enabled() and query.requires_grad
    if learned and query.device.type == "cpu" and keys.dtype == torch.bfloat16:
        scores = query @ keys.transpose(-1, -2) * query.shape[-1] ** -0.5
        return scores.softmax(-1).to(values.dtype) @ values
    return functional.scaled_dot_product_attention(query, keys, values)


class Attention(nn.Module):
    """Attention over frames.

    Rows of query and key stand in each head as (even channels, odd channels), so that the
    rotation's channel pairs are two halves (`ac_checkpoint` reorders Meta's weights).

    Args:
        width: channels.
        heads: that share them.
        window: frames that a frame sees, itself included; None: all up to it.
    """

    def __init__(self, width: int, heads: int, window: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "b t m c"],
        cos: Float[Tensor, "t m 1 k"],
        sin: Float[Tensor, "t m 1 k"],
        cache: KeysAndValues | None,
        layer: int,
    ) -> Float[Tensor, "b t m c"]:
        """Mix ``t`` new frames of ``m`` tokens with themselves and with the cached ones."""
        batch, time, tokens, channels = x.shape
        qkv = self.qkv(x).view(batch, time, tokens, 3 * self.heads, -1)
        pairs, values = qkv[..., : 2 * self.heads, :], qkv[..., 2 * self.heads :, :]
        half = pairs.shape[-1] // 2
        swapped = torch.cat((pairs[..., half:], pairs[..., :half]), dim=-1)
        turned = torch.addcmul(pairs * cos, swapped, sin).flatten(1, 2).transpose(1, 2)
        query, keys = turned[:, : self.heads], turned[:, self.heads :]
        values = values.flatten(1, 2).transpose(1, 2)
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
        past = keys.shape[2] - time * tokens
        # One product for each frame instead of a mask: no work on what must not be seen.
        mixed = []
        for t, asking in enumerate(query.split(tokens, dim=2)):
            stop = past + (t + 1) * tokens
            start = 0 if self.window is None else max(0, stop - self.window * tokens)
            mixed.append(mix(asking, keys[:, :, start:stop], values[:, :, start:stop]))
        joined = torch.stack(mixed, dim=1).transpose(2, 3)
        return self.proj(joined.reshape(batch, time, tokens, channels))


class MLP(nn.Module):
    """Two layers with exact GELU."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Float[Tensor, "*batch c"]) -> Float[Tensor, "*batch c"]:
        """Token by token."""
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """One pre-norm block on an fp32 residual stream."""

    def __init__(self, config: ACConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, eps=1e-6)
        self.attn = Attention(config.width, config.heads)
        self.norm2 = nn.LayerNorm(config.width, eps=1e-6)
        self.mlp = MLP(config.width, config.hidden)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, cache: KeysAndValues | None, layer: int
    ) -> Tensor:
        """Tokens ``[B, T, M, width]`` after this block."""
        dtype = self.attn.proj.weight.dtype
        x = x + self.attn(self.norm1(x).to(dtype), cos, sin, cache, layer)
        return x + self.mlp(self.norm2(x).to(dtype))


def frame_tables(
    frames: int, grid: int, head_dim: int, conditions: int, pairs: bool = False
) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines ``[frames, conditions + N, 1, head_dim]`` (fp64).

    As the encoder's (see `rope.rotary_tables`, also for ``pairs``), with the frame in place of the
    tubelet; condition tokens turn like the patch at row 0, column 0. Channels stand in (even, odd)
    order.
    """
    corners = torch.zeros(frames, conditions, 3, dtype=torch.long)
    corners[..., 0] = torch.arange(frames)[:, None]
    patches = grid_positions(frames, grid, grid)
    points = torch.cat([corners, patches.view(frames, -1, 3)], dim=1)
    cos, sin = rotary_tables(points.flatten(0, 1), head_dim, pairs)
    order = torch.cat((torch.arange(0, head_dim, 2), torch.arange(1, head_dim, 2)))
    sign = torch.ones(head_dim, dtype=torch.float64)
    sign[: head_dim // 2] = -1.0
    shape = (*points.shape[:2], 1, head_dim)
    return cos[:, order].view(shape), (sin[:, order] * sign).view(shape)
