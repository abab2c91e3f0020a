from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.native import library, why_not
from foresight.perception import native_trunk
from foresight.perception.native_trunk import NativeTrunk, can_run
from foresight.perception.preprocess import normalise
from foresight.perception.trunk import PatchEmbedding, Trunk
from foresight.perception.vit import VisionTransformer, VitConfig, initialise

pytestmark = pytest.mark.skipif(library() is None, reason=f"no native encoder: {why_not()}")

SMALL = VitConfig(height=32, width=32, patch=8, dim=64, depth=2, heads=1, hidden=96)
CONFIGS = {
    "blocks filled up": SMALL,  # 16 tokens a tubelet
    "not square": replace(SMALL, height=48, width=40, tubelet=1),
    "hidden in parts": replace(SMALL, dim=128, heads=2, hidden=1408, depth=1),
    "steps in parts": replace(SMALL, dim=576, heads=9, hidden=64, depth=1),
    "many tokens": replace(SMALL, height=144, width=160),
    "heads as in ViT-H": replace(SMALL, dim=160, heads=2),
    "narrow heads": replace(SMALL, dim=96, heads=6, depth=1),
    "no bias": replace(SMALL, qkv_bias=False),
    "patches that fill no step": replace(SMALL, height=30, width=36, patch=6),
}


def made(config, seed=0, scale=0.1):
    """An encoder whose norms and biases are no identities, and its fast form."""
    torch.manual_seed(seed)
    encoder = VisionTransformer(config).eval().requires_grad_(False)
    initialise(encoder)
    for weight in encoder.parameters():
        weight.add_(scale * torch.randn_like(weight) / weight.shape[-1] ** 0.25)
    return encoder


def native(encoder):
    embedding = PatchEmbedding(encoder.patch_embed)
    return NativeTrunk(encoder, (embedding.weight, embedding.bias))


def frames(config, clips=3, time=4, seed=0):
    shape = (clips, time, config.height, config.width, 3)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


def rounded(x):
    return x.bfloat16().float()


def naive(encoder, x, tubelets):
    """The blocks written out in fp32, rounded where the compiled ones round."""
    cos, sin = encoder.tables(tubelets, *encoder.config.grid, torch.device("cpu"))

    def turned(q):
        swapped = torch.stack((-q[..., 1::2], q[..., 0::2]), dim=-1).flatten(-2)
        return q * cos + swapped * sin

    def linear(y, layer):
        return functional.linear(rounded(y), rounded(layer.weight), layer.bias)

    heads = encoder.config.heads
    for block in encoder.blocks:
        qkv = linear(block.norm1(x), block.attn.qkv).unflatten(-1, (3, heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = rounded(turned(q) * q.shape[-1] ** -0.5 / np.log(2)) @ rounded(turned(k)).mT
        chances = torch.exp2(scores - scores.amax(-1, keepdim=True))
        mixed = rounded(chances) @ rounded(v) / chances.sum(-1, keepdim=True)
        x = x + linear(mixed.transpose(1, 2).flatten(2), block.attn.proj)
        x = x + linear(functional.gelu(linear(block.norm2(x), block.mlp.fc1)), block.mlp.fc2)
    return encoder.norm(x)


@pytest.mark.parametrize("name", CONFIGS)
def test_equals_the_blocks_written_out(name):
    config = CONFIGS[name]
    encoder = made(config)
    given = frames(config)
    x = encoder.patch_embed(normalise(given))
    expected = naive(encoder, x, 4 // config.tubelet)
    exact = encoder(normalise(given))
    found = native(encoder)
    blocks = found.blocks(x, 4 // config.tubelet)
    # What rounds to another side here and there, and the fitted exponential and GELU.
    assert (blocks - expected).abs().mean() < 2e-3
    assert (blocks - expected).abs().max() < 0.04
    # Far smaller than what bfloat16 itself changes, or the test above would see nothing.
    assert (blocks - expected).abs().mean() < 0.5 * (exact - expected).abs().mean()
    assert (found.encode(given) - blocks).abs().mean() < 1e-3


def test_nearer_to_fp32_than_torch_in_bfloat16(monkeypatch):
    config = CONFIGS["not square"]
    given = frames(config, 4)
    exact = made(config)(normalise(given))
    ours = native(made(config)).encode(given)
    monkeypatch.setattr("foresight.perception.trunk.can_run", lambda *_: False)
    theirs = Trunk(made(config), torch.bfloat16)(given)
    assert 0 < (ours - exact).abs().mean() <= (theirs - exact).abs().mean()


def test_a_clip_is_the_same_in_any_company_and_by_any_number_of_threads(monkeypatch):
    config = CONFIGS["blocks filled up"]
    encoder = native(made(config))
    given = frames(config, clips=40)
    together = encoder.encode(given)
    assert torch.equal(torch.cat([encoder.encode(clip[None]) for clip in given]), together)
    assert torch.equal(encoder.encode(given[7:30]), together[7:30])
    monkeypatch.setattr(native_trunk, "SHARED", 0.0)
    for threads in (2, 3, 4):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        for clips in (1, 2, 5, 40):
            assert torch.equal(encoder.encode(given[:clips]), together[:clips]), (threads, clips)


def test_large_scores_overflow_nowhere():
    encoder = made(CONFIGS["blocks filled up"])
    for block in encoder.blocks:
        block.attn.qkv.weight[:128] *= 300  # queries and keys
    given = frames(encoder.config)
    exact = encoder(normalise(given))
    found = native(encoder).encode(given)
    assert torch.isfinite(found).all() and found.std() > 0.5 * exact.std()


def test_extreme_inputs_of_gelu():
    encoder = made(CONFIGS["blocks filled up"])
    encoder.blocks[0].mlp.fc1.bias[::2] = -200.0
    encoder.blocks[0].mlp.fc1.bias[1::4] = 50.0
    x = torch.randn(1, 16, 64)
    expected = naive(encoder, x, 1)
    assert (native(encoder).blocks(x, 1) - expected).abs().max() < 0.05


def test_torch_finds_the_tile_registers_as_it_left_them():
    encoder = native(made(SMALL))
    left, right = (torch.randn(96, 64).bfloat16() for _ in range(2))
    given = frames(SMALL)
    expected, tokens = left @ right.T, encoder.encode(given)
    for _ in range(3):
        assert torch.equal(encoder.encode(given), tokens)
        assert torch.equal(left @ right.T, expected)


def test_the_trunk_takes_it_where_it_fits():
    given = frames(SMALL)
    fast = Trunk(made(SMALL), torch.bfloat16)
    assert fast.native is not None
    assert torch.equal(fast(given), native(made(SMALL)).encode(given))
    close = fast.tokens(normalise(given)) - fast(given)
    assert close.abs().max() < 0.02
    assert Trunk(made(SMALL), torch.float32).native is None
    odd = replace(SMALL, dim=72, heads=1)
    assert Trunk(made(odd), torch.bfloat16).native is None
    cpu = torch.device("cpu")
    assert can_run(SMALL, torch.bfloat16, cpu)
    assert not can_run(SMALL, torch.float32, cpu)
    assert not can_run(SMALL, torch.bfloat16, torch.device("cuda"))


def test_too_little_memory_is_one_sentence(monkeypatch):
    encoder = native(made(SMALL))
    monkeypatch.setattr(encoder, "_functions", type("F", (), {"foresight_encode": lambda *_: 1}))
    with pytest.raises(ForesightError, match="not enough memory to encode 3 clips of 32 tokens"):
        encoder.encode(frames(SMALL))
