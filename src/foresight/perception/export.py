"""Write an encoder as ``transformers`` would, so that both packages load it."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write, disk_errors, write_json
from foresight.perception.vit import VitConfig
from foresight.perception.weights import State, transformers_names


def save_encoder(
    folder: Path, weights: State, config: VitConfig, dtype: torch.dtype = torch.float32
) -> Path:
    """Write ``config.json`` and ``model.safetensors`` (encoder only).

    Args:
        folder: made if needed.
        weights: under Meta's names, see `foresight.perception.weights`.
        config: sizes; frames must be square.
        dtype: how the weights are stored.

    Raises:
        ForesightError: frames that are not square (the format knows one crop size), or the folder
            cannot be written.
    """
    check_square(config.height, config.width)
    tensors = {k: v.to(dtype) for k, v in transformers_names(weights).items()}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write(
            folder / "model.safetensors", lambda path: save_file(tensors, path, {"format": "pt"})
        )
    write_json(folder / "config.json", _transformers_values(config, dtype))
    return folder


def check_square(height: int, width: int) -> None:
    """Refuse what `save_encoder` cannot write, before hours of training.

    Raises:
        ForesightError: frames of ``height`` by ``width`` pixels are not square.
    """
    if height != width:
        raise ForesightError(
            f"An encoder for frames of {height}x{width} pixels cannot be written: its format knows "
            "one crop size, choose square frames or make them so with --size."
        )


def _transformers_values(config: VitConfig, dtype: torch.dtype) -> dict[str, object]:
    return {
        "architectures": ["VJEPA2Model"],
        "model_type": "vjepa2",
        "crop_size": config.height,
        "patch_size": config.patch,
        "tubelet_size": config.tubelet,
        "frames_per_clip": 16,
        "in_chans": 3,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "mlp_ratio": config.hidden / config.dim,
        "layer_norm_eps": config.eps,
        "qkv_bias": config.qkv_bias,
        "hidden_act": "gelu",
        # The mask predictor is not part of the file: as small as the format allows.
        "pred_hidden_size": 24,
        "pred_num_hidden_layers": 1,
        "pred_num_attention_heads": 2,
        "dtype": str(dtype).removeprefix("torch."),
    }
