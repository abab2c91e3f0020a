from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_vjepa import save_tiny

from foresight.core.errors import ForesightError
from foresight.perception.encoder import load_encoder
from foresight.perception.trunk import PatchEmbedding
from foresight.perception.vit import PatchEmbed, VitConfig


def reference(model, frames):
    """The same clip through transformers' own path, on normalised pixels."""
    mean = torch.tensor([0.485, 0.456, 0.406])
    std = torch.tensor([0.229, 0.224, 0.225])
    pixels = (torch.from_numpy(frames).float() / 255 - mean) / std
    with torch.no_grad():
        tokens = model.get_vision_features(pixels.permute(0, 1, 4, 2, 3))
    grid = frames.shape[2] // model.config.patch_size
    return tokens.unflatten(1, (-1, grid, grid))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_attention_heads": 2},  # heads of 32: two channels that do not turn
        {"hidden_size": 88, "num_attention_heads": 4},  # as in ViT-g: heads that 3 does not divide
        {"qkv_bias": False, "mlp_ratio": 2.0},
        {"tubelet_size": 1},
    ],
)
def test_equals_transformers_in_fp32(tmp_path, clip, changes):
    model = save_tiny(tmp_path / "e", **changes)
    encoder = load_encoder(tmp_path / "e", dtype="float32")
    for time in (2, 4, 8):
        frames = clip(time=time)
        tokens = encoder.encode(frames)
        assert tokens.dtype == torch.float32
        assert tokens.shape == (2, time // encoder.tubelet, 4, 4, encoder.dim)
        torch.testing.assert_close(tokens, reference(model, frames), rtol=1e-4, atol=5e-5)


def test_positions_follow_the_given_image_size(tiny, clip):
    from transformers import VJEPA2Config, VJEPA2Model

    encoder = load_encoder(tiny, dtype="float32", image_size=48)
    assert (encoder.image_size, encoder.grid) == (48, 6)
    frames = clip(size=48)
    tokens = encoder.encode(frames)
    right = VJEPA2Model.from_pretrained(
        tiny, config=VJEPA2Config.from_pretrained(tiny, crop_size=48)
    )
    torch.testing.assert_close(tokens, reference(right.float(), frames), rtol=1e-4, atol=5e-5)
    # What happens without setting the size: other features, and no error.
    scrambled = reference(VJEPA2Model.from_pretrained(tiny).float(), frames)
    assert (tokens - scrambled).abs().max() > 0.1


def test_bfloat16_is_close(tiny, tiny_encoder, clip):
    half = load_encoder(tiny, dtype="bfloat16")
    exact, rounded = tiny_encoder.encode(clip()), half.encode(clip())
    assert rounded.dtype == torch.float32
    cosine = torch.nn.functional.cosine_similarity(exact, rounded, dim=-1)
    assert cosine.min() > 0.995


def test_a_pixel_reaches_the_token_of_its_place(clip):
    torch.manual_seed(0)
    embedding = PatchEmbedding(PatchEmbed(VitConfig(32, 32, patch=8, dim=8)))
    frames = torch.from_numpy(clip(batch=1))
    changed = frames.clone()
    changed[0, 3, 17, 9, 2] ^= 255  # second tubelet, third row, second column
    difference = (embedding(changed) - embedding(frames)).abs().sum(-1).view(2, 4, 4)
    assert difference.nonzero().tolist() == [[1, 2, 1]]


def test_takes_arrays_tensors_and_views(tiny_encoder, clip):
    frames = clip()
    expected = tiny_encoder.encode(frames)
    frozen = frames.copy()
    frozen.flags.writeable = False
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])[:, :, ::-1]
    for same in (torch.from_numpy(frames), frozen, mirrored):
        assert torch.equal(tiny_encoder.encode(same), expected)
    assert not expected.requires_grad
    assert not expected.is_inference()


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((1, 3, 32, 32, 3), np.uint8), "present frame would be dropped"),
        (np.zeros((1, 1, 32, 32, 3), np.uint8), "clip of 1 frames"),
        (np.zeros((1, 2, 30, 30, 3), np.uint8), "30x30 pixels .* expects 32x32"),
        (np.zeros((1, 2, 32, 48, 3), np.uint8), "32x48 pixels"),
        (np.zeros((1, 2, 32, 32, 3), np.float32), "float32 cannot be encoded: expected uint8"),
        (torch.zeros(1, 2, 32, 32, 3), "float32 cannot be encoded"),
        (np.zeros((2, 32, 32, 3), np.uint8), "shape"),
        (np.zeros((1, 2, 3, 32, 32), np.uint8), "shape"),
        (np.zeros((0, 2, 32, 32, 3), np.uint8), "at least one clip"),
        (np.zeros((1, 0, 32, 32, 3), np.uint8), "shape"),
    ],
)
def test_refuses_frames_that_do_not_fit(tiny_encoder, frames, message):
    with pytest.raises(ForesightError, match=message):
        tiny_encoder.encode(frames)


def test_refuses_features_that_are_not_finite(tmp_path, clip):
    model = save_tiny(tmp_path / "e")
    with torch.no_grad():
        model.encoder.layer[1].mlp.fc2.weight[3, 5] = float("nan")
    model.save_pretrained(tmp_path / "e")
    with pytest.raises(ForesightError, match="not finite"):
        load_encoder(tmp_path / "e", dtype="float32").encode(clip())


def test_shards_and_classifiers_give_the_same_tokens(tmp_path, clip):
    from transformers import VJEPA2ForVideoClassification

    model = save_tiny(tmp_path / "c", model_class=VJEPA2ForVideoClassification)
    model.vjepa2.save_pretrained(tmp_path / "s", max_shard_size="100KB")
    assert not (tmp_path / "s" / "model.safetensors").exists()
    expected = reference(model.vjepa2, clip())
    for name in ("c", "s"):
        tokens = load_encoder(tmp_path / name, dtype="float32").encode(clip())
        torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=5e-5)


def test_the_predictor_is_not_needed(tiny, tiny_encoder, tmp_path, clip):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, tmp_path / "e")
    weights = load_file(tiny / "model.safetensors")
    kept = {name: weight for name, weight in weights.items() if not name.startswith("predictor")}
    assert len(kept) < len(weights)
    save_file(kept, tmp_path / "e" / "model.safetensors", {"format": "pt"})
    lean = load_encoder(tmp_path / "e", dtype="float32")
    assert torch.equal(lean.encode(clip()), tiny_encoder.encode(clip()))


def test_fingerprint_is_of_the_content(tiny, tiny_encoder, tmp_path):
    shutil.copytree(tiny, tmp_path / "copy")
    copy = load_encoder(tmp_path / "copy", dtype="float32")
    assert copy.fingerprint == tiny_encoder.fingerprint
    assert (copy.name, tiny_encoder.name) == ("copy", "tiny")
    save_tiny(tmp_path / "other", seed=1)
    others = {
        load_encoder(tmp_path / "other", dtype="float32").fingerprint,
        load_encoder(tiny, dtype="bfloat16").fingerprint,
        load_encoder(tiny, dtype="float32", image_size=48).fingerprint,
        tiny_encoder.fingerprint,
    }
    assert len(others) == 4


@pytest.fixture
def broken(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "e")
    return tmp_path / "e"


def edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def expect(folder, message, **options):
    with pytest.raises(ForesightError, match=message) as caught:
        load_encoder(folder, **options)
    assert "\n" not in str(caught.value)


def test_damaged_weights(broken):
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    expect(broken, "cannot be loaded .* damaged")
    weights.unlink()
    expect(broken, r"no model\.safetensors")


def test_missing_weights(broken):
    from safetensors.torch import load_file, save_file

    weights = load_file(broken / "model.safetensors")
    del weights["encoder.layer.1.norm2.weight"]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    expect(broken, r"lacks weights \(blocks\.1\.norm2\.weight\)")
    weights["encoder.layer.1.norm2.weight"] = torch.ones(64)
    weights["encoder.layer.1.norm3.weight"] = torch.ones(64)
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    expect(broken, r"has unknown weights \(blocks\.1\.norm3\.weight\)")


def test_weights_of_another_shape(broken):
    edit_config(broken, hidden_size=32)
    expect(broken, r"holds .* as \[.*64.*\], expected \[.*32.*\]: the weights do not fit")


def test_damaged_configuration(broken):
    edit_config(broken, hidden_size="wide")
    expect(broken, "not a valid V-JEPA 2 configuration")
    (broken / "config.json").write_text('{"model_type"')
    expect(broken, "not valid JSON")
    (broken / "config.json").unlink()
    expect(broken, "does not exist")


def test_other_models_and_sizes(broken):
    edit_config(broken, model_type="vit")
    expect(broken, "type 'vit', expected 'vjepa2'")
    edit_config(broken, model_type="vjepa2")
    expect(broken, "frame size 30 .* multiple of its patch size 8", image_size=30)
    expect(broken, "frame size 0 ", image_size=0)


def test_missing_folder_and_unreachable_hub(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    expect(tmp_path / "nothing", "no encoder '")
    expect("./nothing/here/at-all", "no encoder '")
    expect(
        "nobody/has-this-one", "nobody/has-this-one is neither a folder here nor .* foresight-small"
    )


def test_devices_and_dtypes_that_are_not_there(tiny):
    expect(tiny, "device 'cuda:77' is not available", device="cuda:77")
    expect(tiny, "device 'abacus' is not available", device="abacus")
    expect(tiny, "dtype 'float16' is not supported", dtype="float16")


MAKE = """
import os, sys
os.environ["FORESIGHT_HOME"] = sys.argv[1]
from foresight.perception.encoder import load_encoder
encoder = load_encoder("random-small", dtype="float32")
print(encoder.name, encoder.fingerprint)
"""


def test_random_small_made_by_two_processes_at_once(tmp_path, monkeypatch):
    command = [sys.executable, "-c", MAKE, str(tmp_path / "one")]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = {run.communicate(timeout=400)[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    (output,) = outputs
    assert [p.name for p in (tmp_path / "one" / "encoders").iterdir()] == ["random-small"]

    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "two"))
    encoder = load_encoder("random-small", dtype="float32")
    assert output.split() == ["random-small", encoder.fingerprint]
    assert (encoder.image_size, encoder.patch, encoder.tubelet, encoder.dim) == (64, 8, 2, 192)
    blocks = np.kron(np.arange(16).reshape(1, 2, 2, 2, 2), np.ones((1, 1, 32, 32, 1)))[..., :1]
    tokens = encoder.encode((blocks * 15).astype(np.uint8).repeat(3, -1))
    assert tokens.std(dim=(1, 2, 3)).mean() > 0.1  # places can be told apart


def test_home_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "file"))
    expect("random-small", "Cannot write")
