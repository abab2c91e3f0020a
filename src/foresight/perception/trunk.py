"""The V-JEPA 2 encoder's forward pass, computed from the weights that ``transformers`` loads.

Same function as ``VJEPA2Model.get_vision_features`` (the tests hold the two against each other),
several times faster for small encoders because

- the rotary tables are computed once, in fp32, instead of in every layer in the model's dtype;
- query, key and value are one product;
- pixels go in as centred bytes: the ImageNet normalisation is folded into the patch embedding,
  which is one product over patches instead of a 3-D convolution.

In bfloat16 only the products and what lies between them are rounded; the patch embedding and the
residual stream stay in fp32. What changes in one step of a robot is often no more than bfloat16's
rounding of a whole token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Small numbers of both signs, so that the folded bias cancels little.
CENTRE = 128.0


class PatchEmbedding(nn.Module):
    """uint8 frames to one token per ``tubelet`` frames and ``patch`` × ``patch`` pixels."""

    weight: Tensor
    bias: Tensor

    def __init__(self, convolution: nn.Conv3d) -> None:
        super().__init__()
        self.tubelet, self.patch, _ = (int(n) for n in convolution.kernel_size)
        kernel = convolution.weight.detach().double()  # [D, C, tubelet, patch, patch]
        mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64) * 255.0
        std = torch.tensor(IMAGENET_STD, dtype=torch.float64) * 255.0
        kernel = kernel / std[:, None, None, None]
        shift = torch.einsum("dctij,c->d", kernel, CENTRE - mean)
        # Channels last, as frames are stored.
        weight = kernel.permute(0, 2, 3, 4, 1).flatten(1)
        self.register_buffer("weight", weight.float())
        assert convolution.bias is not None
        self.register_buffer("bias", (convolution.bias.detach().double() + shift).float())

    def forward(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b n d"]:
        """Tokens ``[B, N, D]`` of frames ``[B, T, H, W, 3]``, before any block."""
        batch, time, height, width, channels = frames.shape
        split = frames.view(
            batch,
            time // self.tubelet,
            self.tubelet,
            height // self.patch,
            self.patch,
            width // self.patch,
            self.patch,
            channels,
        )
        patches = split.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, -1, self.weight.shape[1])
        return functional.linear(patches.float() - CENTRE, self.weight, self.bias)


class Block(nn.Module):
    """One pre-norm transformer block on an fp32 residual stream, products in ``dtype``.

    The rows of query and key are reordered within each head to (even channels, odd channels), so
    that the rotation's channel pairs become two halves. Dot products do not see the order.
    """

    qkv_weight: Tensor
    qkv_bias: Tensor | None

    def __init__(self, layer: Any, dtype: torch.dtype) -> None:
        super().__init__()
        attention = layer.attention
        self.heads = int(attention.num_attention_heads)
        self.head_dim = int(attention.attention_head_size)
        order = _halves_order(self.heads, self.head_dim)
        parts = (attention.query, attention.key, attention.value)
        weights = [part.weight.detach() for part in parts]
        weights = [weights[0][order], weights[1][order], weights[2]]
        self.register_buffer("qkv_weight", torch.cat(weights).to(dtype))
        bias = None
        if attention.query.bias is not None:
            biases = [part.bias.detach() for part in parts]
            bias = torch.cat([biases[0][order], biases[1][order], biases[2]]).to(dtype)
        self.register_buffer("qkv_bias", bias)
        self.dtype = dtype
        self.norm1 = layer.norm1
        self.norm2 = layer.norm2
        self.proj = attention.proj.to(dtype)
        self.fc1 = layer.mlp.fc1.to(dtype)
        self.fc2 = layer.mlp.fc2.to(dtype)
        self.activation: Callable[[Tensor], Tensor] = layer.mlp.activation

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        cos: Float[Tensor, "n 1 k"],
        sin: Float[Tensor, "n 1 k"],
    ) -> Float[Tensor, "b n d"]:
        """Tokens ``[B, N, D]`` after this block; tables as `rotary_tables` gives them."""
        batch, tokens, dim = x.shape
        qkv = functional.linear(self.norm1(x).to(self.dtype), self.qkv_weight, self.qkv_bias)
        pairs = qkv[..., : 2 * dim].view(batch, tokens, 2 * self.heads, self.head_dim)
        half = self.head_dim // 2
        swapped = torch.cat((pairs[..., half:], pairs[..., :half]), dim=-1)
        turned = torch.addcmul(pairs * cos, swapped, sin).transpose(1, 2)
        value = qkv[..., 2 * dim :].view(batch, tokens, self.heads, self.head_dim).transpose(1, 2)
        mixed = functional.scaled_dot_product_attention(
            turned[:, : self.heads], turned[:, self.heads :], value
        )
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.fc2(self.activation(self.fc1(self.norm2(x).to(self.dtype))))


class Trunk(nn.Module):
    """The whole frozen encoder: patch embedding, blocks and the final norm (in fp32).

    Args:
        encoder: ``transformers``' ``VJEPA2Encoder`` with its weights in fp32; its layers are taken
            over and emptied one by one, so that large models are not held twice.
        dtype: dtype of the blocks' products.
    """

    def __init__(self, encoder: Any, dtype: torch.dtype) -> None:
        super().__init__()
        config = encoder.config
        self.dtype = dtype
        self.grid = int(config.crop_size) // int(config.patch_size)
        self.embedding = PatchEmbedding(encoder.embeddings.patch_embeddings.proj)
        blocks = []
        for index in range(len(encoder.layer)):
            blocks.append(Block(encoder.layer[index], dtype))
            encoder.layer[index] = nn.Identity()
        self.blocks = nn.ModuleList(blocks)
        self.norm = encoder.layernorm.float()
        self.head_dim = int(config.hidden_size) // int(config.num_attention_heads)
        self._tables: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b n d"]:
        """Tokens in fp32, ordered tubelet-major, then row, then column."""
        x = self.embedding(frames)
        cos, sin = self._rotary(x.shape[1] // self.grid**2, x.device)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.norm(x)

    def _rotary(self, tubelets: int, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (tubelets, device)
        if key not in self._tables:
            cos, sin = rotary_tables(tubelets, self.grid, self.head_dim)
            self._tables[key] = (cos.to(device, self.dtype), sin.to(device, self.dtype))
        return self._tables[key]


def rotary_tables(tubelets: int, grid: int, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines ``[tokens, 1, head_dim]`` (fp64) in the (even, odd) order.

    A third of a head turns with the tubelet, a third with the row, a third with the column, the
    remainder not at all. V-JEPA 2 pairs neighbouring channels but repeats the angles as a tile
    (0 1 2 … 0 1 2 …): no true rotation, yet the published weights were trained so.
    """
    width = 2 * ((head_dim // 3) // 2)
    frequencies = 10000.0 ** -(torch.arange(width // 2, dtype=torch.float64) / (width / 2))
    axes = torch.meshgrid(
        torch.arange(tubelets), torch.arange(grid), torch.arange(grid), indexing="ij"
    )
    angles = [axis.flatten().double()[:, None] * frequencies.repeat(2) for axis in axes]
    still = torch.zeros(tubelets * grid * grid, head_dim - 3 * width, dtype=torch.float64)
    angle = torch.cat([*angles, still], dim=1)
    order = _halves_order(1, head_dim)
    sign = torch.ones(head_dim, dtype=torch.float64)
    sign[: head_dim // 2] = -1.0
    return angle.cos()[:, None, order], (angle.sin()[:, order] * sign)[:, None, :]


def _halves_order(heads: int, head_dim: int) -> Tensor:
    """Row order that puts each head's even channels before its odd ones."""
    one = torch.cat((torch.arange(0, head_dim, 2), torch.arange(1, head_dim, 2)))
    return (torch.arange(heads)[:, None] * head_dim + one).flatten()
