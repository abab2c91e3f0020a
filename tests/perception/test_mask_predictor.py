"""V-JEPA 2.1's mask predictors, of both kinds, against outputs of Meta's code."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from vjepa21_files import PORT, REFERENCE, plain, ported, save_folder

from foresight.core.errors import ForesightError
from foresight.perception.mask_predictor import (
    MaskPredictor,
    MaskPredictorConfig,
    load_mask_predictor,
)

CLOSE = 1e-5
KINDS = ("predictor", "predictor_distilled")


def weights(kind):
    return REFERENCE / f"meta_vjepa21_{kind}_small.safetensors"


def io(kind):
    return load_file(REFERENCE / f"meta_vjepa21_{kind}_small_io.safetensors")


def differences(module, held, way, mask=1):
    for case in ("video", "image"):
        given = [held[f"{case}.{name}"] for name in ("context_BKC", "keep_BK", "predict_BK")]
        found = module(*given, still=case == "image", mask=mask)
        names = (f"{case}.predicted_{way}_BKC", f"{case}.context_out_{way}_BKC")
        for value, name in zip(found, names, strict=True):
            if name in held:
                assert value.shape == held[name].shape
                yield float((value - held[name]).abs().max())


@pytest.mark.parametrize("kind", KINDS)
def test_equals_metas_code(kind):
    held = io(kind)
    for way, scaled in (("hub", False), ("train", True)):
        found = list(differences(load_mask_predictor(weights(kind), scaled=scaled), held, way))
        assert len(found) == 4 and max(found) <= CLOSE
    module = load_mask_predictor(weights(kind), scaled=False)
    assert max(differences(module, held, "hub_mask6", mask=6)) <= CLOSE
    assert max(differences(module, held, "hub_mask6", mask=14)) <= CLOSE
    assert min(differences(module, held, "hub_mask6")) > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["pt", "port", "stacked"])
def test_every_layout_gives_the_same(tmp_path, kind, layout):
    own = plain(weights(kind))
    if layout == "pt":
        path = tmp_path / "v.pt"
        torch.save({"encoder": {}, "predictor": load_file(weights(kind)), "epoch": 1}, path)
        module = load_mask_predictor(path, image_size=64, frames=8)
    else:
        named = {}
        for name, value in ported(own, "predictor_blocks.", "predictor.").items():
            words = name
            for ours, theirs in (
                ("predictor.predictor_embed.", "predictor.embeddings.predictor_embeddings."),
                ("predictor.predictor_norm.", "predictor.layernorm."),
                ("predictor.predictor_proj", "predictor.proj"),
                ("predictor.mask_tokens.", "predictor.embeddings.mask_tokens."),
            ):
                words = words.replace(ours, theirs)
            named[words] = value
        if layout == "stacked":
            names = [f"predictor.embeddings.mask_tokens.{i}" for i in range(8)]
            named["predictor.embeddings.mask_tokens"] = torch.stack([named.pop(n) for n in names])
            named["predictor.img_mod_embed"] = own["img_mod_embed"].clone()
        other = {"encoder.norms_block.0.weight": torch.ones(3)}
        path = save_folder(tmp_path / "p", named | other, PORT | {"frames_per_clip": 8})
        module = load_mask_predictor(path)
    assert max(differences(module, io(kind), "train")) <= CLOSE


@pytest.mark.parametrize(
    ("depth", "inputs", "inner", "outputs", "parameters"),
    [
        (12, 768, 0, 1664, 22_874_752),
        (12, 1024, 0, 1664, 22_973_056),
        (24, 5632, 1408, 5632, 55_400_704),
        (24, 6656, 1664, 6656, 59_433_472),
    ],
)
def test_sizes_of_metas_files(depth, inputs, inner, outputs, parameters):
    with torch.device("meta"):
        module = MaskPredictor(
            MaskPredictorConfig(24, 32, inputs, inner, 384, depth, 1536, outputs)
        )
    assert sum(p.numel() for p in module.parameters()) == parameters


def test_refusals_in_a_sentence(tmp_path):
    module = load_mask_predictor(weights("predictor"))
    keep, predict = torch.zeros(1, 2, dtype=torch.long), torch.full((1, 1), 64)
    with pytest.raises(ForesightError, match=r"places below 64 \(4 x 4 x 4\)"):
        module(torch.zeros(1, 2, 512), keep, predict)
    with pytest.raises(ForesightError, match="expected 512 channels"):
        module(torch.zeros(1, 2, 128), keep, keep)
    own = plain(weights("predictor"))
    lacking = {name: value for name, value in own.items() if name != "mask_tokens.3"}
    for held, words in (
        (lacking, "lacks weights .mask_tokens.3"),
        (own | {"extra": torch.ones(1)}, "unknown weights .extra"),
        ({"predictor_embed.weight": torch.ones(2, 2)}, "no mask predictor of V-JEPA 2.1"),
    ):
        save_file(held, tmp_path / "w.safetensors")
        with pytest.raises(ForesightError, match=words):
            load_mask_predictor(tmp_path / "w.safetensors")
    torch.save({"encoder": {}}, tmp_path / "v.pt")
    for path, words in ((tmp_path / "v.pt", "under 'predictor'"), (tmp_path / "no", "There is no")):
        with pytest.raises(ForesightError, match=words):
            load_mask_predictor(path)
