"""Weight files that are not what they should be, each told for what it is."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_vjepa import save_tiny

import foresight
from foresight.core.errors import ForesightError
from foresight.perception.ac_checkpoint import load_ac_predictor
from refusals import refused

REFERENCE = Path(__file__).parents[1] / "data" / "vjepa2-reference"
WEIGHTS = REFERENCE / "meta_vjepa2_encoder_small.safetensors"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 1526400000\n"


@pytest.fixture
def folder(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "e")
    return tmp_path / "e"


def shards(folder, count=2):
    """Split the folder's weights into files, without an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    for number in range(count):
        part = {name: weights[name] for name in names[number::count]}
        save_file(part, folder / f"model-{number + 1:05d}-of-{count:05d}.safetensors")
    return {name: f"model-{names.index(name) % count + 1:05d}-of-{count:05d}.safetensors"
            for name in names}  # fmt: skip


def test_a_pointer_of_git_lfs(folder, tmp_path):
    (folder / "model.safetensors").write_text(POINTER)
    assert "damaged" not in refused(folder, "model.safetensors", "git-lfs", "git lfs pull")
    (tmp_path / "v.pt").write_text(POINTER)
    assert "damaged" not in refused(tmp_path / "v.pt", "v.pt", "git lfs pull")
    (folder / "config.json").write_text(POINTER)
    assert "JSON" not in refused(folder, "config.json", "git lfs pull")


def test_a_web_page_and_an_empty_file(tmp_path):
    (tmp_path / "v.pt").write_text("<!DOCTYPE html><html><title>404</title></html>")
    refused(tmp_path / "v.pt", "web page", "fetch the file itself")
    (tmp_path / "w.safetensors").write_bytes(b"")
    refused(tmp_path / "w.safetensors", "is empty")


def test_a_byte_order_mark_is_read_over(folder, tiny_encoder):
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text, encoding="utf-8-sig")
    assert (folder / "config.json").read_bytes().startswith(b"\xef\xbb\xbf")
    assert foresight.load_encoder(folder, dtype="float32").fingerprint == tiny_encoder.fingerprint


def test_shards_without_an_index_are_read_by_their_numbers(folder, tiny_encoder, clip):
    shards(folder, 3)
    encoder = foresight.load_encoder(folder, dtype="float32")
    assert torch.equal(encoder.encode(clip()), tiny_encoder.encode(clip()))
    (folder / "model-00002-of-00003.safetensors").unlink()
    refused(folder, "2 of 3 shards", "model-00002-of-00003.safetensors", "no index")


def test_a_shard_that_the_index_names_is_missing(folder):
    index = {"weight_map": shards(folder)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    foresight.load_encoder(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    refused(folder, "model-00002-of-00002.safetensors", "its index names")
    (folder / "model.safetensors.index.json").write_text("[]")
    refused(folder, "no index of shards")


def test_pytorch_weights_in_a_folder_are_pointed_to(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK")
    refused(folder, f"give {folder / 'pytorch_model.bin'} itself")


def test_a_pickled_path_or_class_is_named(tmp_path):
    weights = load_file(WEIGHTS)
    torch.save({"encoder": weights, "folder": Path("runs")}, tmp_path / "path.pt")
    sentence = refused(tmp_path / "path.pt", "pickled pathlib", "safetensors")
    assert "damaged" not in sentence and "weights_only" not in sentence
    torch.save({"encoder": weights, "error": ForesightError("x")}, tmp_path / "class.pt")
    refused(tmp_path / "class.pt", "a pickled foresight.core.errors.ForesightError")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Path("runs"), protocol=2))
    refused(tmp_path / "plain.pt", "pickled pathlib")


def test_files_of_old_pytorch_are_read(tmp_path):
    torch.save({"encoder": load_file(WEIGHTS)}, tmp_path / "v.pt", pickle_protocol=2,
               _use_new_zipfile_serialization=False)  # fmt: skip
    assert foresight.load_encoder(tmp_path / "v.pt").dim == 192


def test_files_under_other_endings(tmp_path):
    torch.save({"encoder": load_file(WEIGHTS)}, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "PyTorch file", "ending .pt")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "program.pt")
    refused(tmp_path / "program.pt", "TorchScript program")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: {k: torch.full_like(v, torch.nan) for k, v in w.items()}, "are not finite"),
        (lambda w: w | {"norm.weight": torch.full((192,), torch.inf)}, "norm.weight that are not"),
        (lambda w: {k: (100 * v).to(torch.int8) for k, v in w.items()}, "as int8: quantised"),
        (lambda w: {k: v.to(torch.float8_e4m3fn) for k, v in w.items()}, "as float8_e4m3fn"),
        (lambda w: {k: 1e20 * v for k, v in w.items()}, "where trained weights stay below 10000"),
        (lambda w: {k: torch.zeros_like(v) for k, v in w.items()}, "nothing but zeros"),
    ],
)
def test_weights_that_no_encoder_has(tmp_path, change, words):
    plain = {name.removeprefix("module.backbone."): v for name, v in load_file(WEIGHTS).items()}
    save_file(change(plain), tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", words)
    torch.save({"encoder": change(plain)}, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", words)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_every_floating_type_are_read(tmp_path, dtype):
    save_file({k: v.to(dtype) for k, v in load_file(WEIGHTS).items()}, tmp_path / "w.safetensors")
    assert foresight.load_encoder(tmp_path / "w.safetensors").dim == 192


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "_orig_mod.",
        "module.",
        "model.",
        "backbone.",
        "encoder.",
        "model._orig_mod.module.backbone.",
        "module.encoder.backbone.",
        "_orig_mod.model.target_encoder.",
    ],
)
def test_prefixes_are_read_over_and_told(tmp_path, prefix):
    reference = foresight.load_encoder(WEIGHTS, dtype="float32")
    plain = {name.removeprefix("module.backbone."): v for name, v in load_file(WEIGHTS).items()}
    named = {prefix + name: value for name, value in plain.items()}
    save_file(named | {"model.predictor.mask": torch.ones(2)}, tmp_path / "w.safetensors")
    (tmp_path / "config.json").write_text((REFERENCE / "config.json").read_text())
    encoder = foresight.load_encoder(tmp_path / "w.safetensors", dtype="float32")
    frames = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8)
    assert torch.equal(encoder.encode(frames), reference.encode(frames))
    assert (prefix in encoder.part) if prefix else encoder.part.endswith("names as they are")


def test_words_of_torch_compile_inside_names(tmp_path):
    named = {name.replace("attn.", "_orig_mod.attn."): v for name, v in load_file(WEIGHTS).items()}
    torch.save(named, tmp_path / "w.pt")
    assert foresight.load_encoder(tmp_path / "w.pt").dim == 192


def test_two_models_under_one_name(tmp_path):
    weights = load_file(WEIGHTS)
    twice = {name.removeprefix("module."): value for name, value in weights.items()}
    torch.save(weights | twice, tmp_path / "w.pt")
    refused(tmp_path / "w.pt", "twice", "save one alone")


@pytest.mark.parametrize("flat", [False, True])
def test_encoder_and_its_average_in_one_file(tmp_path, flat):
    weights = load_file(WEIGHTS)
    student = {name: value + 1e-3 for name, value in weights.items()}
    held = {"encoder": student, "target_encoder": weights}
    if flat:
        held = {f"{part}.{name}": v for part, inside in held.items() for name, v in inside.items()}
    torch.save(held, tmp_path / "v.pt")
    frames = torch.randint(0, 256, (1, 2, 64, 64, 3), dtype=torch.uint8)
    load = foresight.load_encoder
    usual = load(tmp_path / "v.pt", dtype="float32", image_size=64)
    assert usual.part == "target_encoder, names without " + (
        "target_encoder.module.backbone." if flat else "module.backbone."
    )
    assert torch.equal(usual.encode(frames), load(WEIGHTS, dtype="float32").encode(frames))
    other = load(tmp_path / "v.pt", dtype="float32", image_size=64, part="encoder")
    assert other.part.startswith("encoder, ")
    assert other.fingerprint != usual.fingerprint
    assert not torch.equal(other.encode(frames), usual.encode(frames))
    alone = {k: v for k, v in held.items() if not k.startswith("target")}
    torch.save({"state_dict": alone, "epoch": 3}, tmp_path / "one.pt")
    assert load(tmp_path / "one.pt").part.startswith("encoder, ")
    refused(tmp_path / "one.pt", "target_encoder", part="target_encoder")


@pytest.mark.parametrize(
    "name",
    [
        "module.backbone.patch_embed_img.proj.weight",
        "encoder.embeddings.patch_embeddings_img.proj.weight",
        "img_mod_embed",
        "encoder.embeddings.video_mod_embed",
        "norms_block.3.weight",
        "encoder.distillation_norms.0.weight",
    ],
)
def test_one_tensor_of_2_1_among_those_of_2_0(tmp_path, name):
    save_file(load_file(WEIGHTS) | {name: torch.ones(1)}, tmp_path / "w.safetensors")
    refused(tmp_path / "w.safetensors", "V-JEPA 2.1 (", "final norm of 2.0", "mixes two encoders")


@pytest.mark.parametrize(
    "changes",
    [
        {"use_rope_interleave": True},
        {"use_modality_embeddings": True},
        {"interpolate_rope": True},
        {"use_image_patch_embedder": True},
        {"hierarchical_layers": [2, 5, 8, 11]},
        {"num_distillation_outputs": 4},
        {"teacher_embed_dim": 1664},
        {"model_type": "vjepa2_1"},
    ],
)
def test_a_2_1_configuration_with_names_of_2_0(folder, changes):
    """Its weights would fit, and be turned and placed as those of 2.0 are."""
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | changes))
    ((name, value),) = changes.items()
    refused(folder, "V-JEPA 2.1", name, str(value))
    refused(folder / "model.safetensors", "V-JEPA 2.1", name)


def test_a_configuration_that_says_2_0_in_the_words_of_2_1(folder):
    values = json.loads((folder / "config.json").read_text())
    plain = {
        "use_rope_interleave": False,
        "interpolate_rope": False,
        "hierarchical_layers": None,
        "num_distillation_outputs": 1,
    }
    (folder / "config.json").write_text(json.dumps(values | plain))
    foresight.load_encoder(folder)


def test_2_0_names_in_what_is_called_2_1(tmp_path):
    weights = load_file(WEIGHTS)
    torch.save({"encoder": weights}, tmp_path / "vjepa2_1_vitl_dist_vitG_384.pt")
    refused(tmp_path / "vjepa2_1_vitl_dist_vitG_384.pt", "the name vjepa2_1_vitl", "names of 2.0")
    save_file(weights, tmp_path / "w.safetensors")
    values = {"encoder": {"img_size": 64, "interpolate_rope": True}}
    (tmp_path / "config.json").write_text(json.dumps(values))
    refused(tmp_path / "w.safetensors", "V-JEPA 2.1", "interpolate_rope")


def test_ac_files_are_told_the_same(tmp_path):
    (tmp_path / "v.pt").write_text(POINTER)
    with pytest.raises(ForesightError, match="git lfs pull"):
        load_ac_predictor(tmp_path / "v.pt")
    weights = load_file(REFERENCE / "meta_vjepa2_ac_predictor_small.safetensors")
    save_file({f"_orig_mod.{k}": v for k, v in weights.items()}, tmp_path / "fine.safetensors")
    load_ac_predictor(tmp_path / "fine.safetensors")
    save_file({k: v * torch.nan for k, v in weights.items()}, tmp_path / "nan.safetensors")
    with pytest.raises(ForesightError, match="not finite"):
        load_ac_predictor(tmp_path / "nan.safetensors")


def test_without_the_hubs_client_a_hub_id_is_explained(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused("facebook/vjepa2-vitl-fpc64-256", 'pip install "foresight-robotics[hub]"')


def test_damage_is_still_called_damage(tmp_path, tiny):
    save_tiny(tmp_path / "e")
    weights = tmp_path / "e" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    refused(tmp_path / "e", "damaged or cut short")
