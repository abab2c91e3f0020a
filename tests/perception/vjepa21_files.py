"""V-JEPA 2.1 weights of the reference in every layout that they are published in."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

REFERENCE = Path(__file__).parents[1] / "data" / "vjepa21-reference"
WEIGHTS = REFERENCE / "meta_vjepa21_encoder_small.safetensors"
PREFIX = "module.backbone."

SIZES = {
    "crop_size": 64,
    "patch_size": 16,
    "tubelet_size": 2,
    "hidden_size": 128,
    "num_hidden_layers": 12,
    "num_attention_heads": 2,
    "mlp_ratio": 1.5,
}
PORT = {"model_type": "vjepa21", "img_temporal_dim_size": 1, "n_output_distillation": 4, **SIZES}
TRANSFORMERS = {
    "model_type": "vjepa2",
    "use_rope_interleave": True,
    "use_modality_embeddings": True,
    "interpolate_rope": True,
    "use_image_patch_embedder": True,
    "use_context_projection": True,
    "teacher_embed_dim": 160,
    "num_distillation_outputs": 1,
    "hierarchical_layers": [2, 5, 8, 11],
    **SIZES,
}


def plain(path):
    """The weights of a reference file without Meta's prefix."""
    return {name.removeprefix(PREFIX): value for name, value in load_file(path).items()}


def ported(weights, blocks="blocks.", encoder="encoder."):
    """Meta's names as the ports have them: other words, query, key and value apart."""
    found = {}
    for name, value in weights.items():
        words = name.replace(blocks, "layer.").replace(".attn.", ".attention.")
        words = words.replace("patch_embed.", "embeddings.patch_embeddings.")
        words = words.replace("patch_embed_img.", "embeddings.patch_embeddings_img.")
        if words.endswith("_mod_embed"):
            words = f"embeddings.{words}"
        if ".qkv." not in words:
            found[encoder + words] = value
            continue
        for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
            found[encoder + words.replace("qkv", part)] = third.contiguous()
    return found


def transformers_layout(weights):
    """The ports' names, of the norms only the last one, under its name there."""
    kept = {name: value for name, value in weights.items() if "norms_block" not in name}
    last = {
        f"distillation_norms.0.{kind}": weights[f"norms_block.3.{kind}"]
        for kind in ("weight", "bias")
    }
    return ported(kept | last)


def save_folder(folder, tensors, config):
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return folder
