"""The frozen encoder's forward pass: the same function as `vit.VisionTransformer` and
`vit21.VisionTransformer21`, made fast.

- The rotation needs queries and keys also with their channel pairs swapped. These come out of the
  same product as the queries, keys and values: a few more rows of one matrix instead of slicing
  and stacking.
- The rotary tables are computed once, in fp32, and written out for all heads.
- Pixels go in as centred bytes: the ImageNet normalisation is folded into the patch embedding.
- On a CPU the weights are laid out once as oneDNN's kernels want them, instead of at every call;
  on one with AMX the blocks run in C++ of our own (`foresight.perception.native_trunk`).

In bfloat16 only the products and what lies between them are rounded; the patch embedding and the
residual stream stay in fp32. What changes in one step of a robot is often no more than bfloat16's
rounding of a whole token.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from foresight.perception.native_trunk import NativeTrunk, can_run
from foresight.perception.preprocess import IMAGENET_MEAN, IMAGENET_STD
from foresight.perception.vit import Block, PatchEmbed, VisionTransformer, VitConfig
from foresight.perception.vit21 import VisionTransformer21, Vit21Config

# Small numbers of both signs, so that the folded bias cancels little.
CENTRE = 128.0


class Linear(nn.Module):
    """A frozen linear map, its weights laid out for this machine's fastest kernel.

    Args:
        weight: ``[out, in]``. bias: ``[out]`` or None.
        dtype: of input, weights and output.
    """

    weight: Tensor | None
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype))
        self.register_buffer("bias", None if bias is None else bias.to(dtype))
        self._packed: Tensor | None = None

    def pack(self, rows: int) -> None:
        """Lay the weights out for inputs of about ``rows`` rows, where oneDNN can."""
        assert self.weight is not None
        if self.weight.device.type == "cpu" and _can_pack(self.weight.dtype):
            self._packed = torch.ops.mkldnn._reorder_linear_weight(self.weight, rows)
            self.weight = None  # not held twice

    def forward(self, x: Float[Tensor, "*b i"]) -> Float[Tensor, "*b o"]:
        """``x @ weight.T + bias``."""
        if self._packed is None:
            assert self.weight is not None
            return functional.linear(x, self.weight, self.bias)
        return torch.ops.mkldnn._linear_pointwise(x, self._packed, self.bias, "none", [], "")

    def plain(self) -> Callable[[Tensor], Tensor]:
        """`forward` with the present weights and without the module around it."""
        if self._packed is None:
            return self.forward
        product = torch.ops.mkldnn._linear_pointwise.default
        packed, bias = self._packed, self.bias
        return lambda x: product(x, packed, bias, "none", [], "")


class PatchEmbedding(nn.Module):
    """uint8 frames to one token per ``tubelet`` frames and ``patch`` × ``patch`` pixels, in fp32.

    Args:
        embed: the trainable patch embedding, for normalised pixels.
        modality: what V-JEPA 2.1 adds to every token, ``[1, 1, D]``.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, embed: PatchEmbed, modality: Tensor | None = None) -> None:
        super().__init__()
        self.tubelet, self.patch, _ = (int(n) for n in embed.proj.kernel_size)
        kernel = embed.proj.weight.detach().cpu().double()  # [D, C, tubelet, patch, patch]
        mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64) * 255.0
        std = torch.tensor(IMAGENET_STD, dtype=torch.float64) * 255.0
        kernel = kernel / std[:, None, None, None]
        shift = torch.einsum("dctij,c->d", kernel, CENTRE - mean)
        # Channels last, as frames are stored.
        self.register_buffer("weight", kernel.permute(0, 2, 3, 4, 1).flatten(1).float())
        assert embed.proj.bias is not None
        if modality is not None:
            shift = shift + modality.detach().cpu().double().flatten()
        self.register_buffer("bias", (embed.proj.bias.detach().cpu().double() + shift).float())

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
        return functional.linear(patches.float().sub_(CENTRE), self.weight, self.bias)


class FastBlock(nn.Module):
    """One pre-norm transformer block on an fp32 residual stream, products in ``dtype``."""

    def __init__(self, block: Block, dtype: torch.dtype) -> None:
        super().__init__()
        attention = block.attn
        self.dtype = dtype
        self.heads = attention.heads
        weight, bias = attention.qkv.weight.detach(), attention.qkv.bias
        self.qkv = Linear(with_swapped(weight), None if bias is None else with_swapped(bias), dtype)
        self.proj = _linear(attention.proj, dtype)
        self.fc1 = _linear(block.mlp.fc1, dtype)
        self.fc2 = _linear(block.mlp.fc2, dtype)
        self.norm1 = block.norm1
        self.norm2 = block.norm2

    def forward(
        self,
        x: Float[Tensor, "b n d"],
        cos: Float[Tensor, "n e"],
        sin: Float[Tensor, "n e"],
    ) -> Float[Tensor, "b n d"]:
        """Tokens ``[B, N, D]`` after this block; ``x`` is changed in place.

        ``cos`` and ``sin`` are tables for the queries and keys of all heads, ``[N, 2 D]``.
        """
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm1(x).to(self.dtype))
        pairs, swapped, value = qkv.split((2 * dim, 2 * dim, dim), dim=-1)
        turned = pairs.mul_(cos).addcmul_(swapped, sin)
        query, key = turned.unflatten(-1, (2, self.heads, -1)).transpose(1, 3).unbind(2)
        mixed = functional.scaled_dot_product_attention(
            query, key, value.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        )
        x += self.proj(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        x += self.fc2(torch.ops.aten.gelu_(self.fc1(self.norm2(x).to(self.dtype))))
        return x


class Trunk(nn.Module):
    """The whole frozen encoder: patch embedding, blocks and the final norm.

    Args:
        encoder: the reference module in fp32; its blocks are taken over and emptied one by one,
            so that large models are not held twice.
        dtype: dtype of the blocks' products.
        device: where to run.
        native: run in C++ where that can be (`native_trunk.can_run`, and for V-JEPA 2.1
            `native_turns_pairs`).
    """

    def __init__(
        self,
        encoder: VisionTransformer,
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        native: bool = True,
    ) -> None:
        super().__init__()
        self.config = encoder.config
        self.dtype = dtype
        modality: Tensor | None = None
        self.still: PatchEmbedding | None = None
        if isinstance(encoder, VisionTransformer21):
            modality = encoder.video_mod_embed
            self.still = PatchEmbedding(encoder.patch_embed_img, encoder.img_mod_embed).to(device)
        self.embedding = PatchEmbedding(encoder.patch_embed, modality).to(device)
        self.native: NativeTrunk | None = None
        fits = native and can_run(encoder.config, dtype, torch.device(device))
        if fits and (self.still is None or native_turns_pairs()):
            self.native = NativeTrunk(encoder, (self.embedding.weight, self.embedding.bias))
        height, width = encoder.config.grid
        blocks = []
        for index in range(0 if self.native else len(encoder.blocks)):
            fast = FastBlock(encoder.blocks[index], dtype).to(device)  # type: ignore[arg-type]
            encoder.blocks[index] = nn.Identity()
            for linear in (fast.qkv, fast.proj, fast.fc1, fast.fc2):
                linear.pack(4 * height * width)
            blocks.append(fast)
        self.blocks = nn.ModuleList(blocks)
        self._reference = encoder.to(device)  # its patch embeddings, norms and tables
        self._tables: dict[tuple[int, torch.device], tuple[Tensor, Tensor]] = {}

    def forward(
        self, frames: UInt8[Tensor, "b t h w 3"], levels: bool = False
    ) -> Float[Tensor, "b n d"]:
        """Tokens in fp32 of bytes, ordered tubelet-major, then row, then column.

        Args:
            frames: of a clip; of V-JEPA 2.1 one frame is a still.
            levels: give all levels of V-JEPA 2.1 side by side, shallow first, instead of the last.
        """
        still = self.still is not None and frames.shape[1] == 1
        if self.native is not None and not (still or levels):
            return self.native.encode(frames)
        embedding = self.still if still else self.embedding
        assert embedding is not None
        return self._blocks(embedding(frames), frames.shape[1], levels)

    def tokens(
        self, clip: Float[Tensor, "b t 3 h w"], levels: bool = False
    ) -> Float[Tensor, "b n d"]:
        """Tokens in fp32 of pixels that are normalised already."""
        return self._blocks(self._reference.embed(clip), clip.shape[1], levels)

    def _blocks(self, x: Tensor, frames: int, levels: bool) -> Tensor:
        encoder = self._reference
        tubelets = encoder.tubelets(frames)
        inner: dict[int, nn.Module] = {}  # norms behind blocks
        if levels and isinstance(encoder, VisionTransformer21):
            inner = dict(zip(encoder.config.levels, encoder.norms_block, strict=True))
        if self.native is not None:
            native, ends = self.native, [*inner] or [len(encoder.blocks) - 1]
            return torch.cat([native.blocks(x, tubelets, end) for end in ends], dim=-1)
        cos, sin = self._rotary(tubelets, x.device)
        found: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            x = block(x, cos, sin)
            if index in inner:
                found.append(inner[index](x))
        return torch.cat(found, dim=-1) if found else encoder.last_norm(x)

    def _rotary(self, tubelets: int, device: torch.device) -> tuple[Tensor, Tensor]:
        key = (tubelets, device)
        if key not in self._tables:
            heads = 2 * self.config.heads  # queries and keys
            tables = self._reference.tables(tubelets, *self.config.grid, torch.device("cpu"))
            cos, sin = (table.repeat(1, heads).to(device, self.dtype) for table in tables)
            self._tables[key] = (cos, sin)
        return self._tables[key]


@cache
def native_turns_pairs() -> bool:
    """Whether the C++ blocks compute V-JEPA 2.1's function on this machine, found by trying.

    A small encoder with random weights runs in C++, as torch's operations in bfloat16 and in fp32;
    the first may be off from the last by no more than twice what the second is, on a clip, on a
    still and at every level.
    """
    sizes = VitConfig(height=32, width=48, patch=8, dim=128, depth=4, heads=2, hidden=192)
    generator = torch.Generator().manual_seed(0)

    def made() -> VisionTransformer21:
        module = VisionTransformer21(Vit21Config.of(sizes, range(4))).requires_grad_(False)
        for name, weight in module.named_parameters():
            weight.normal_(0, 1 / 8, generator=generator.manual_seed(weight.numel()))
            if "norm" in name and name.endswith("weight"):
                weight.add_(1)  # else no token would differ enough for angles to matter
        return module.eval()

    tried = [Trunk(made(), dtype, native=False) for dtype in (torch.float32, torch.bfloat16)]
    swift, encoder = tried[1], made()
    ours = Trunk(made(), torch.bfloat16, native=False)
    ours.native = NativeTrunk(encoder, (swift.embedding.weight, swift.embedding.bias))
    frames = torch.randint(0, 256, (2, 4, 32, 48, 3), generator=generator).to(torch.uint8)
    for clip, levels in ((frames, False), (frames, True), (frames[:, :1].contiguous(), True)):
        exact, rounded, found = (trunk(clip, levels) for trunk in (*tried, ours))
        if not (found - exact).abs().mean() <= 2 * (rounded - exact).abs().mean():
            return False
    return True


def with_swapped(qkv: Float[Tensor, " q *d"]) -> Float[Tensor, " r *d"]:
    """Rows of query, key and value → query, key, swapped query, swapped key, value.

    The swapped rows give ``(-x1, x0, -x3, x2, …)`` where the others give ``(x0, x1, x2, x3, …)``.
    """
    pairs, value = qkv.split((len(qkv) // 3 * 2, len(qkv) // 3))
    even, odd = pairs[0::2], pairs[1::2]
    return torch.cat((pairs, torch.stack((-odd, even), dim=1).flatten(0, 1), value))


def _linear(linear: nn.Linear, dtype: torch.dtype) -> Linear:
    return Linear(linear.weight.detach(), linear.bias.detach(), dtype)


def _can_pack(dtype: torch.dtype) -> bool:
    """Whether oneDNN's layout helps; the operation is not part of torch's public interface."""
    operations: Any = getattr(torch.ops, "mkldnn", None)
    half = getattr(operations, "_is_mkldnn_bf16_supported", None)
    if dtype == torch.bfloat16 and half is not None and not half():
        return False
    return bool(
        dtype in (torch.bfloat16, torch.float32)
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and hasattr(operations, "_reorder_linear_weight")
        and hasattr(operations, "_linear_pointwise")
    )
