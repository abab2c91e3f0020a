"""V-JEPA 2.1 against outputs of Meta's code, and in every layout that its weights come in."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from vjepa21_files import (
    PORT,
    PREFIX,
    REFERENCE,
    SIZES,
    TRANSFORMERS,
    WEIGHTS,
    plain,
    ported,
    save_folder,
    transformers_layout,
)

import foresight
from foresight.core.errors import ForesightError
from foresight.perception.checkpoint import open_checkpoint
from foresight.perception.generations import LEVELS
from foresight.perception.preprocess import normalise
from foresight.perception.pretraining.train import _start
from foresight.perception.rope import scaled_positions
from foresight.perception.vit import VitConfig
from foresight.perception.vit21 import VisionTransformer21, Vit21Config
from refusals import refused

CASES = ("video", "grid7", "nonsquare", "image", "image_nonsquare")
CLOSE = 1e-5


@pytest.fixture(scope="module")
def io():
    held = load_file(REFERENCE / "meta_vjepa21_encoder_small_io.safetensors")
    return {
        name: value.float().transpose(1, 2) if "clip" in name else value
        for name, value in held.items()
    }


@pytest.fixture(scope="module")
def module():
    return open_checkpoint(WEIGHTS).load()[0]


def apart(found, expected):
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


@pytest.mark.parametrize("case", CASES)
def test_equals_metas_code_on_any_grid(io, module, case):
    clip = io[f"{case}.clip_BCTHW"]
    assert apart(module(clip), io[f"{case}.tokens_BND"]) <= CLOSE
    levels = module.levels(clip)
    assert apart(levels, io[f"{case}.levels_BN4D"]) <= CLOSE
    assert torch.equal(levels[..., -128:], module(clip))
    encoder = foresight.load_encoder(WEIGHTS, dtype="float32", image_size=tuple(clip.shape[3:]))
    tokens, fast = encoder.tokens(clip), encoder.tokens(clip, levels=True)
    assert tokens.shape[1:4] == (max(1, clip.shape[1] // 2), *encoder.grid_shape)
    assert apart(tokens.flatten(1, 3), io[f"{case}.tokens_BND"]) <= CLOSE
    assert apart(fast.flatten(1, 3), io[f"{case}.levels_BN4D"]) <= CLOSE
    half = foresight.load_encoder(WEIGHTS, dtype="bfloat16", image_size=tuple(clip.shape[3:]))
    assert (half.tokens(clip).flatten(1, 3) - io[f"{case}.tokens_BND"]).abs().mean() < 0.05


@pytest.mark.parametrize("case", CASES)
def test_positions_that_are_not_scaled(tmp_path, io, case):
    folder = save_folder(tmp_path / "e", ported(plain(WEIGHTS)), PORT | {"interpolate_rope": False})
    found = open_checkpoint(folder).load()[0](io[f"{case}.clip_BCTHW"])
    assert apart(found, io[f"{case}.tokens_flat_positions_BND"]) <= CLOSE


@pytest.mark.parametrize("case", ["", "_two", "_nonsquare", "_image"])
def test_subsets_of_tokens(io, module, case):
    clip = io[f"{case[1:] if 'image' in case or 'square' in case else 'video'}.clip_BCTHW"]
    several = case == "_two"
    keeps = io[f"masked{case}.keep_{'M' * several}BK"]
    tokens = io[f"masked{case}.tokens_{'M' * several}BKD"]
    for keep, expected in zip(keeps, tokens, strict=True) if several else [(keeps, tokens)]:
        assert apart(module(clip, keep), expected) <= CLOSE
        order = torch.randperm(keep.shape[1], generator=torch.Generator().manual_seed(0))
        assert apart(module(clip, keep[:, order]), expected[:, order]) <= CLOSE
    if f"masked{case}.levels_BK4D" in io:
        assert apart(module.levels(clip, keeps), io[f"masked{case}.levels_BK4D"]) <= CLOSE


def test_bytes_give_what_their_normalised_pixels_give():
    encoder = foresight.load_encoder(WEIGHTS, dtype="float32")
    for frames in (4, 1):
        clip = torch.randint(0, 256, (3, frames, 64, 64, 3), dtype=torch.uint8)
        for levels in (False, True):
            expected = encoder.tokens(normalise(clip), levels=levels)
            torch.testing.assert_close(
                encoder.encode(clip, levels=levels), expected, rtol=1e-4, atol=1e-4
            )
    with pytest.raises(ForesightError, match="clip of 3 frames"):
        encoder.encode(torch.zeros(1, 3, 64, 64, 3, dtype=torch.uint8))


def test_a_grid_of_one_row_has_its_place_and_no_nan(module):
    assert scaled_positions(1, 1, 3).tolist() == [[0, 0, 0], [0, 0, 7.5], [0, 0, 15]]
    clip = torch.randn(1, 2, 3, 16, 48)
    assert torch.isfinite(module(clip)).all()


@pytest.mark.parametrize(
    ("name", "dim", "depth", "hidden", "parameters", "tensors"),
    [
        ("B", 768, 12, 3072, 86_833_152, 158),
        ("L", 1024, 24, 4096, 304_680_960, 302),
        ("g", 1408, 40, 6144, 1_013_267_968, 494),
        ("G", 1664, 48, 8192, 1_845_216_768, 590),
    ],
)
def test_sizes_of_metas_files(name, dim, depth, hidden, parameters, tensors):
    sizes = VitConfig(384, 384, dim=dim, depth=depth, heads=dim // 64, hidden=hidden)
    with torch.device("meta"):
        found = VisionTransformer21(Vit21Config.of(sizes, LEVELS[depth])).state_dict()
    assert (sum(w.numel() for w in found.values()), len(found)) == (parameters, tensors)


def published(tmp_path, kind):
    """One layout, its weights those of the reference, and what else there is something else."""
    weights = load_file(WEIGHTS)
    student = {name: value + 0.1 for name, value in weights.items()}
    predictor = load_file(REFERENCE / "meta_vjepa21_predictor_small.safetensors")
    rest = {"predictor": predictor, "opt": {"state": {}}, "epoch": 3, "loss": 0.1, "lr": 1e-3}
    if kind in ("ema_encoder", "target_encoder"):
        path = tmp_path / "vjepa2_1_vitb_dist_vitG_384.pt"
        torch.save({"encoder": student, kind: weights, **rest}, path)
        return path
    if kind == "port":
        other = ported(plain(REFERENCE / "meta_vjepa21_predictor_small.safetensors"),
                       "predictor_blocks.", "predictor.")  # fmt: skip
        return save_folder(tmp_path / "vjepa2.1-port", ported(plain(WEIGHTS)) | other, PORT)
    return save_folder(tmp_path / "t", transformers_layout(plain(WEIGHTS)), TRANSFORMERS)


@pytest.mark.parametrize("kind", ["ema_encoder", "target_encoder", "port", "transformers"])
def test_every_layout_gives_the_same_tokens(tmp_path, io, kind):
    path = published(tmp_path, kind)
    clip = io["video.clip_BCTHW"]
    encoder = foresight.load_encoder(path, dtype="float32", image_size=64)
    assert encoder.generation == "2.1"
    assert apart(encoder.tokens(clip).flatten(1, 3), io["video.tokens_BND"]) <= CLOSE
    levels = encoder.tokens(clip, levels=True).flatten(1, 3)
    expected = io["video.levels_BN4D"]
    assert apart(levels, expected[..., -128:] if kind == "transformers" else expected) <= CLOSE
    if path.suffix == ".pt":
        assert encoder.part == f"{kind}, names without {PREFIX}"
        assert foresight.load_encoder(path).frame_shape == (384, 384)  # as published
        student = foresight.load_encoder(path, dtype="float32", image_size=64, part="encoder")
        assert student.part.startswith("encoder, ")
        assert apart(student.tokens(clip), encoder.tokens(clip)) > 0.1


def test_random_weights_keep_nothing_of_the_file(tmp_path):
    save_file({k: torch.full_like(v, 3) for k, v in load_file(WEIGHTS).items()},
              tmp_path / "w.safetensors")  # fmt: skip
    clip = torch.randint(0, 256, (1, 1, 64, 64, 3), dtype=torch.uint8)
    one, two = (
        foresight.load_encoder(path, dtype="float32", image_size=64, random_weights=0)
        for path in (WEIGHTS, tmp_path / "w.safetensors")
    )
    assert torch.equal(one.encode(clip), two.encode(clip))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda w: w.pop("video_mod_embed"), "video_mod_embed"),
        (lambda w: w.pop("patch_embed_img.proj.bias"), "patch_embed_img.proj.bias"),
        (lambda w: w.pop("norms_block.2.bias"), "norms_block.2.bias"),
        (lambda w: w.update({"norm.weight": torch.ones(128)}), "final norm of 2.0"),
        (lambda w: w.update({"norms_block.4.weight": torch.ones(128)}), "holds 5 norms_block"),
        (lambda w: w.update({"register_tokens": torch.ones(1)}), "unknown weights"),
    ],
)
def test_never_loaded_half(tmp_path, change, word):
    weights = plain(WEIGHTS)
    change(weights)
    save_file(weights, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", word)


def test_a_configuration_of_another_generation(tmp_path):
    tensors = transformers_layout(plain(WEIGHTS))
    plain_20 = {"model_type": "vjepa2", **SIZES}
    refused(save_folder(tmp_path / "a", tensors, plain_20), "V-JEPA 2.1", "configuration of 2.0")
    tiled = TRANSFORMERS | {"use_rope_interleave": False}
    refused(save_folder(tmp_path / "b", tensors, tiled), "use_rope_interleave is not set")
    early = {k: v for k, v in PORT.items() if k != "model_type"} | {"model_type": "resnet"}
    refused(save_folder(tmp_path / "c", ported(plain(WEIGHTS)), early), "'resnet'")


def test_depths_without_levels(tmp_path):
    weights = {k: v for k, v in plain(WEIGHTS).items() if not k.startswith("blocks.11.")}
    save_file(weights, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "of 11 blocks", "hierarchical_layers")


def test_levels_of_2_0_are_refused(tiny_encoder):
    with pytest.raises(ForesightError, match="one output, levels are of V-JEPA"):
        tiny_encoder.encode(torch.zeros(1, 2, 32, 32, 3, dtype=torch.uint8), levels=True)


def test_it_is_not_pretrained_further():
    sizes = VitConfig(64, 64, dim=128, depth=12, heads=2, hidden=192)
    with pytest.raises(ForesightError, match=r"is a V-JEPA 2\.1 encoder, which is not trained on"):
        _start(sizes, str(WEIGHTS))
