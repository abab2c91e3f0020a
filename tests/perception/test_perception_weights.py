"""The encoder against Meta's reference code and in every layout that weights come in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_vjepa import save_tiny

import foresight
from foresight.core.errors import ForesightError
from foresight.perception.checkpoint import open_checkpoint
from foresight.perception.export import save_encoder
from foresight.perception.preprocess import normalise
from foresight.perception.vit import VisionTransformer, VitConfig
from foresight.perception.weights import meta_names, transformers_names

REFERENCE = Path(__file__).parents[1] / "data" / "vjepa2-reference"
WEIGHTS = REFERENCE / "meta_vjepa2_encoder_small.safetensors"


@pytest.fixture(scope="module")
def reference():
    held = load_file(REFERENCE / "meta_vjepa2_encoder_small_io.safetensors")
    return held["clip_BCTHW"].transpose(1, 2), held["tokens_BND"]


def test_equals_metas_code(reference):
    clip, expected = reference
    encoder = foresight.load_encoder(WEIGHTS, dtype="float32")
    tokens = encoder.tokens(clip)
    assert tokens.shape == (2, 4, 4, 4, 192)
    assert (tokens.flatten(1, 3) - expected).abs().max() <= 1e-5
    module = open_checkpoint(WEIGHTS).load()[0]
    assert (module(clip) - expected).abs().max() <= 1e-5
    rounded = foresight.load_encoder(WEIGHTS, dtype="bfloat16").tokens(clip)
    assert (rounded.flatten(1, 3) - expected).abs().max() < 0.1


def test_bytes_and_normalised_pixels_give_the_same(tiny_encoder, clip):
    frames = torch.from_numpy(clip())
    torch.testing.assert_close(
        tiny_encoder.tokens(normalise(frames)), tiny_encoder.encode(frames), rtol=1e-4, atol=1e-4
    )


def test_frames_that_are_not_square(tiny, clip):
    encoder = foresight.load_encoder(tiny, dtype="float32", image_size=(32, 48))
    frames = torch.from_numpy(clip(size=48)[:, :, :32])
    tokens = encoder.encode(frames)
    assert tokens.shape[1:4] == (2, 4, 6)
    module = open_checkpoint(tiny, (32, 48)).load()[0]
    torch.testing.assert_close(
        tokens.flatten(1, 3), module(normalise(frames)), rtol=1e-4, atol=1e-4
    )


def test_tokens_of_a_subset_equal_a_masked_attention(tiny, clip):
    """Dropping tokens equals computing all of them while nobody looks at the dropped ones."""
    module = open_checkpoint(tiny).load()[0]
    frames = normalise(torch.from_numpy(clip(batch=1)))
    keep = torch.tensor([[1, 4, 9, 16, 25, 31]])
    allowed = torch.zeros(32, dtype=torch.bool)
    allowed[keep[0]] = True
    found = module(frames, keep)
    x = module.patch_embed(frames)
    cos, sin = module.tables(2, 4, 4, x.device)
    for block in module.blocks:
        h = block.norm1(x)
        q, k, v = (
            part.view(1, 32, 4, -1).transpose(1, 2) for part in block.attn.qkv(h).chunk(3, dim=-1)
        )
        swap = block.attn.swap
        q, k = q * cos + (q @ swap) * sin, k * cos + (k @ swap) * sin
        scores = (q @ k.transpose(-2, -1)) / q.shape[-1] ** 0.5
        weights = scores.masked_fill(~allowed, -torch.inf).softmax(-1)
        x = x + block.attn.proj((weights @ v).transpose(1, 2).reshape(1, 32, -1))
        x = x + block.mlp(block.norm2(x))
    torch.testing.assert_close(found, module.norm(x)[:, keep[0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("key", ["encoder", "target_encoder"])
def test_metas_torch_files(tmp_path, reference, key):
    clip, expected = reference
    weights = load_file(WEIGHTS)
    extra = {"module.backbone.pos_embed": torch.zeros(1, 3, 192)}
    torch.save({key: weights | extra, "epoch": 3}, tmp_path / "v.pt")
    encoder = foresight.load_encoder(tmp_path / "v.pt", dtype="float32", image_size=64)
    assert encoder.name == "v"
    assert (encoder.tokens(clip).flatten(1, 3) - expected).abs().max() <= 1e-5
    published = foresight.load_encoder(tmp_path / "v.pt")  # no weight tells the size
    assert published.frame_shape == (256, 256)


def test_names_there_and_back(tmp_path):
    save_tiny(tmp_path / "e")
    weights = load_file(tmp_path / "e" / "model.safetensors")
    own = {k: v for k, v in weights.items() if k.startswith("encoder.")}
    again = transformers_names(meta_names(own, "test").tensors)
    assert again.keys() == own.keys()
    assert all(torch.equal(again[name], own[name]) for name in own)


def test_written_encoders_load_in_both_packages(tmp_path, clip):
    from transformers import VJEPA2Model

    config = VitConfig(32, 32, patch=8, dim=64, depth=2, heads=4, hidden=128)
    torch.manual_seed(0)
    module = VisionTransformer(config)
    save_encoder(tmp_path / "e", module.state_dict(), config)
    frames = torch.from_numpy(clip())
    with torch.no_grad():
        expected = module(normalise(frames))
        theirs = VJEPA2Model.from_pretrained(tmp_path / "e").get_vision_features(normalise(frames))
    ours = foresight.load_encoder(tmp_path / "e", dtype="float32").encode(frames)
    torch.testing.assert_close(ours.flatten(1, 3), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs, expected, rtol=1e-4, atol=1e-4)


def test_random_weights_are_another_encoder(tiny, clip):
    one, two, again = (
        foresight.load_encoder(tiny, dtype="float32", random_weights=seed) for seed in (0, 1, 0)
    )
    assert one.fingerprint == again.fingerprint != two.fingerprint
    assert torch.equal(one.encode(clip()), again.encode(clip()))
    assert not torch.allclose(one.encode(clip()), two.encode(clip()))
    assert one.name == "random:tiny"


def refused(path, message, **options):
    with pytest.raises(ForesightError, match=message) as caught:
        foresight.load_encoder(path, **options)
    assert "\n" not in str(caught.value)


def test_checkpoints_of_other_kinds(tmp_path):
    weights = load_file(WEIGHTS)
    torch.save({"ema_encoder": weights}, tmp_path / "a.pt")
    assert foresight.load_encoder(tmp_path / "a.pt").generation == "2.0"  # the names decide
    torch.save(
        {"target_encoder": weights | {"module.backbone.img_mod_embed": torch.zeros(1, 1, 192)}},
        tmp_path / "b.pt",
    )
    refused(tmp_path / "b.pt", "mixes two encoders")
    torch.save({"optimizer": {}, "epoch": 3}, tmp_path / "c.pt")
    refused(tmp_path / "c.pt", r"holds no encoder \(found: optimizer, epoch\)")
    torch.save({"encoder": {"head.weight": torch.zeros(3, 3)}}, tmp_path / "d.pt")
    refused(tmp_path / "d.pt", "no weights patch_embed.proj.weight")
    (tmp_path / "e.pt").write_bytes(b"PK" + bytes(100))
    refused(tmp_path / "e.pt", "damaged or cut short")
    (tmp_path / "f.onnx").write_bytes(b"")
    refused(tmp_path / "f.onnx", "no checkpoint that can be read")


def test_pickled_code_is_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "exploded",))

    torch.save({"encoder": Bomb()}, tmp_path / "bomb.pt")
    refused(tmp_path / "bomb.pt", "pickled code is never run")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("module.backbone.blocks.1.attn.qkv.bias"), "lacks weights .*qkv.bias"),
        (lambda w: w.update({"module.backbone.extra": torch.ones(1)}), r"unknown weights \(extra"),
        (
            lambda w: w.update({"module.backbone.norm.weight": torch.ones(5)}),
            r"norm.weight as \[5\], expected \[192\]",
        ),
    ],
)
def test_weights_that_are_not_whole(tmp_path, change, message):
    weights = load_file(WEIGHTS)
    change(weights)
    save_file(weights, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", message)


def test_a_file_beside_its_configuration(tmp_path, tiny):
    shutil.copytree(tiny, tmp_path / "e")
    encoder = foresight.load_encoder(tmp_path / "e" / "model.safetensors", dtype="float32")
    assert (encoder.image_size, encoder.config.heads) == (32, 4)
    values = json.loads((tmp_path / "e" / "config.json").read_text())
    (tmp_path / "e" / "config.json").write_text(json.dumps(values | {"hidden_act": "relu"}))
    refused(tmp_path / "e" / "model.safetensors", "'relu', expected RGB")


@pytest.mark.parametrize(
    ("clip", "message"),
    [
        (torch.zeros(1, 2, 32, 32, 3), "shape"),
        (torch.zeros(1, 2, 3, 32, 32, dtype=torch.uint8), "not normalised"),
        (torch.zeros(1, 3, 3, 32, 32), "clip of 3 frames"),
        (torch.zeros(1, 2, 3, 32, 40), "32x40 pixels"),
        (torch.full((1, 2, 3, 32, 32), torch.nan), "not finite"),
    ],
)
def test_refuses_clips_that_do_not_fit(tiny_encoder, clip, message):
    with pytest.raises(ForesightError, match=message):
        tiny_encoder.tokens(clip)
