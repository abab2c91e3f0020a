"""AC checkpoints: both formats, every way in which a file can be wrong, and the pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint
from foresight.perception import ac
from foresight.perception.ac import ACModel, load_ac, represent
from foresight.perception.ac_checkpoint import (
    load_ac_predictor,
    random_ac_predictor,
    reorder_heads,
)
from foresight.perception.ac_layers import ACConfig

WEIGHTS = (
    Path(__file__).parents[1]
    / "data"
    / "vjepa2-reference"
    / "meta_vjepa2_ac_predictor_small.safetensors"
)
TINY = ACConfig(dim=64, width=64, depth=1, heads=1, hidden=64, grid=4, max_frames=8)


def one_sentence(error) -> str:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


def test_meta_pt_gives_the_same_weights(tmp_path):
    tensors = load_file(WEIGHTS)
    named = {f"module.backbone.{k.removeprefix('module.')}": v for k, v in tensors.items()}
    path = tmp_path / "ac.pt"
    torch.save({"encoder": {}, "predictor": named, "epoch": 3}, path)
    mine, reference = load_ac_predictor(path), load_ac_predictor(WEIGHTS)
    for name, value in reference.state_dict().items():
        assert torch.equal(mine.state_dict()[name], value)
    # Nothing in the weights tells these two: they are the published model's.
    assert (mine.config.grid, mine.config.max_frames) == (16, 32)
    assert (reference.config.grid, reference.config.max_frames) == (4, 8)
    assert mine.source == file_fingerprint(path)


def test_weights_alone_tell_the_sizes(tmp_path):
    path = tmp_path / "alone.safetensors"
    path.write_bytes(WEIGHTS.read_bytes())
    config = load_ac_predictor(path, max_frames=5).config
    assert config == ACConfig(192, 128, 3, 2, 512, 16, 5, 7)


def test_reordering_is_undone():
    tensors = random_ac_predictor(TINY, seed=1).state_dict()
    again = reorder_heads(reorder_heads(tensors, TINY), TINY, back=True)
    for name, value in tensors.items():
        assert torch.equal(again[name], value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("module.predictor_norm.bias"), "lacks weights predictor_norm.bias"),
        (lambda t: t.pop("module.predictor_embed.weight"), "no weights predictor_embed.weight"),
        (lambda t: t.update({"module.extra": torch.zeros(1)}), "has the unknown weights extra"),
        (lambda t: t.update({"module.predictor_norm.bias": torch.zeros(3)}), "expected \\[128\\]"),
    ],
)
def test_wrong_keys_are_named(tmp_path, change, words):
    tensors = load_file(WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / "ac.safetensors")
    with pytest.raises(ForesightError, match=words) as error:
        load_ac_predictor(tmp_path / "ac.safetensors")
    one_sentence(error)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_truncated_file(tmp_path, suffix):
    path = tmp_path / f"ac.{suffix}"
    if suffix == "pt":
        torch.save({"predictor": load_file(WEIGHTS)}, path)
    else:
        path.write_bytes(WEIGHTS.read_bytes())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ForesightError, match="cannot be loaded") as error:
        load_ac_predictor(path)
    one_sentence(error)


def test_other_files(tmp_path):
    with pytest.raises(ForesightError, match="There is no AC checkpoint"):
        load_ac_predictor(tmp_path / "nothing.pt")
    torch.save({"encoder": {}, "target_encoder": {}}, tmp_path / "encoder.pt")
    with pytest.raises(ForesightError, match=r"under 'predictor' \(found: encoder, target"):
        load_ac_predictor(tmp_path / "encoder.pt")
    with pytest.raises(ForesightError, match="dtype 'float16'"):
        load_ac_predictor(WEIGHTS, dtype="float16")


def test_representation_sees_each_frame_alone(tiny_encoder, clip):
    frames = clip(batch=2, time=3)
    tokens = represent(tiny_encoder, frames)
    assert tokens.shape == (2, 3 * 16, 64)
    alone = tiny_encoder.encode(np.repeat(frames[:, 1:2], 2, axis=1)).flatten(1, 3)
    expected = torch.nn.LayerNorm(64, eps=1e-5, elementwise_affine=False)(alone)
    torch.testing.assert_close(tokens[:, 16:32], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(represent(tiny_encoder, torch.from_numpy(frames)), tokens)


def test_a_foreign_encoder_is_refused(tiny_encoder):
    predictor = random_ac_predictor(TINY)
    with pytest.raises(ForesightError, match="not the one this AC predictor") as error:
        ACModel(tiny_encoder, predictor)
    one_sentence(error)
    predictor.source = "a" * 16
    with pytest.raises(ForesightError, match="not the one"):
        ACModel(tiny_encoder, predictor, "b" * 16)
    assert ACModel(tiny_encoder, predictor, "a" * 16).source == "a" * 16
    assert ACModel(tiny_encoder, predictor, allow_foreign=True).source == ""
    with pytest.raises(ForesightError, match="tokens of 64 features"):
        ACModel(tiny_encoder, load_ac_predictor(WEIGHTS), allow_foreign=True)


def test_one_file_gives_both(tmp_path, tiny, tiny_encoder, monkeypatch):
    path = tmp_path / "ac.safetensors"
    tensors = random_ac_predictor(TINY).state_dict()
    save_file(reorder_heads(tensors, TINY, back=True), path)
    (tmp_path / "config.json").write_text('{"predictor": {"img_size": 64, "max_frames": 8}}')
    asked = []

    def pretend(path_or_id, device, dtype):
        asked.append(path_or_id)
        return tiny_encoder

    monkeypatch.setattr(ac, "load_encoder", pretend)
    model = load_ac(path, dtype="float32")
    assert asked == [path] and model.source == file_fingerprint(path)
    with pytest.raises(ForesightError, match="load both from one file"):
        load_ac(path, dtype="float32", encoder=tiny)
    assert load_ac(path, dtype="float32", encoder=tiny, allow_foreign=True).source == ""
