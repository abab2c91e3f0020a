"""Encoding keeps order and values, random weights differ, PCA equals the exact one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight.core.errors import ForesightError
from foresight.diagnostics.probes.components import principal_scores
from foresight.diagnostics.probes.data import scene_data
from foresight.diagnostics.probes.dino import load_dino
from foresight.diagnostics.probes.features import encode_windows


class Brightness:
    """Tokens that are the frames' mean colour, to see order and batches."""

    name, fingerprint, image_size, patch = "brightness", "b", 16, 4

    def encode(self, frames):
        frames = torch.as_tensor(frames).float()
        return frames.mean(dim=(2, 3))[:, ::2, None, None, :]


def test_windows_are_encoded_in_order_less_one_constant():
    data = scene_data(700, frames=2, size=16)
    tokens = encode_windows(Brightness(), data).float()
    wanted = torch.cat([Brightness().encode(clips) for clips in data.clips()])
    offset = (wanted - tokens).flatten(1)
    assert tokens.shape == (700, 1, 1, 1, 3)
    np.testing.assert_allclose(offset, offset[:1].expand(700, 3), atol=0.1)


def test_bad_features_and_vanished_windows_are_told():
    data = scene_data(5, frames=2, size=16)

    class Broken(Brightness):
        def encode(self, frames):
            return super().encode(frames) / 0.0 * 0.0

    with pytest.raises(ForesightError, match=r"brightness on scenes are not finite"):
        encode_windows(Broken(), data)
    with pytest.raises(ForesightError, match="0 of 5 windows"):
        encode_windows(Brightness(), replace(data, clips=lambda: iter(())))


def test_random_weights_keep_the_shape_and_nothing_else(tmp_path, monkeypatch):
    from foresight.perception.encoder import load_encoder

    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path))
    own, other, again = (
        load_encoder("random-small"),
        load_encoder("random-small", random_weights=1),
        load_encoder("random-small", random_weights=1),
    )
    frames = np.random.default_rng(0).integers(0, 256, (1, 4, 64, 64, 3), np.uint8)
    first, second, third = (encoder.encode(frames) for encoder in (own, other, again))
    assert first.shape == second.shape
    assert (first - second).abs().mean() > 0.1
    assert torch.equal(second, third)
    assert own.fingerprint != other.fingerprint == again.fingerprint


def test_pixel_pca_is_that_of_the_singular_values():
    random = np.random.default_rng(0)
    low = random.standard_normal((90, 6)) * [40, 30, 20, 14, 9, 6]
    pixels = low @ np.linalg.qr(random.standard_normal((120, 6)))[0].T
    pixels = np.clip(pixels * 1.5 + 128 + random.normal(0, 0.5, (90, 120)), 0, 255).astype(np.uint8)
    train = torch.arange(60)
    found = principal_scores(torch.from_numpy(pixels), train, components=4).numpy()
    centred = pixels - pixels[:60].mean(axis=0)
    axes = np.linalg.svd(centred[:60], full_matrices=False)[2][:4]
    wanted = centred @ axes.T
    wanted /= np.sqrt((wanted[:60] ** 2).mean())
    signs = np.sign((found * wanted).sum(axis=0))
    np.testing.assert_allclose(found * signs, wanted, atol=0.02 * np.abs(wanted).max())


def test_dino_gives_patch_tokens_of_every_frame(tmp_path):
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path / "tiny-dino"
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=112, patch_size=14
    )
    model = Dinov2Model(config).eval()
    model.save_pretrained(folder)
    dino = load_dino(folder, 16)
    frames = np.random.default_rng(0).integers(0, 256, (2, 4, 16, 16, 3), np.uint8)
    tokens = dino.encode(frames)
    assert tokens.shape == (2, 4, 8, 8, 24)
    one = dino.encode(frames[1:, 2:3])
    np.testing.assert_allclose(tokens[1, 2], one[0, 0], atol=1e-5)  # frames do not see each other
    data = scene_data(6, frames=2, size=16)
    assert encode_windows(dino, data).shape == (6, 2, 8, 8, 24)
    with pytest.raises(ForesightError, match="does not exist"):
        load_dino(tmp_path / "nowhere", 16)
    (folder / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ForesightError, match=r"type 'vit'.*dinov2"):
        load_dino(folder, 16)
