"""DINOv2 as something to compare with: patch tokens of every frame, from a local checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.files import file_fingerprint, fingerprint, read_json
from foresight.perception.preprocess import IMAGENET_MEAN, IMAGENET_STD

GRID = 8
"""Patches along a side: frames are enlarged to fit, since DINOv2's patches have 14 pixels."""


class DinoEncoder:
    """Per-frame patch tokens of a frozen DINOv2; made by `load_dino`.

    Attributes:
        name: of the folder.
        fingerprint: of weights and preprocessing.
        image_size: size of the frames that are given to it.
        patch: pixels of such a frame that a token covers.
        device: where it runs.
    """

    def __init__(self, model: Any, folder: Path, image_size: int, device: torch.device) -> None:
        self.model = model
        self.name = folder.name
        self.image_size = image_size
        self.patch = max(1, image_size // GRID)
        self.device = device
        self._side = GRID * int(model.config.patch_size)
        weights = [file_fingerprint(path) for path in sorted(folder.glob("*.safetensors"))]
        self.fingerprint = fingerprint(["dinov2", weights, self._side, image_size])

    @torch.no_grad()
    def encode(self, frames: Any) -> Float[Tensor, "b t h w d"]:
        """Tokens ``[B, T, 8, 8, D]`` of uint8 frames ``[B, T, H, W, 3]``: one set a frame."""
        clips = torch.as_tensor(frames).to(self.device)
        batch, time = clips.shape[:2]
        images = clips.flatten(0, 1).permute(0, 3, 1, 2).float() / 255.0
        images = functional.interpolate(
            images, (self._side, self._side), mode="bicubic", antialias=True, align_corners=False
        )
        mean = torch.tensor(IMAGENET_MEAN, device=self.device)[:, None, None]
        std = torch.tensor(IMAGENET_STD, device=self.device)[:, None, None]
        found = self.model(pixel_values=(images - mean) / std).last_hidden_state
        patches = found[:, -(GRID**2) :]  # behind the class token and any registers
        return patches.reshape(batch, time, GRID, GRID, -1)


KINDS = ("dinov2", "dinov2_with_registers")


def is_dino(folder: Path) -> bool:
    """Whether a folder says that it holds a DINOv2."""
    file = folder / "config.json"
    values = read_json(file) if file.is_file() else {}
    return isinstance(values, dict) and values.get("model_type") in KINDS


def load_dino(folder: Path, image_size: int, device: str = "cpu") -> DinoEncoder:
    """Load a DINOv2 checkpoint.

    Args:
        folder: with ``config.json`` and safetensors weights, as ``save_pretrained`` writes them.
        image_size: of the frames that it will be given.
        device: where it shall run.

    Raises:
        ForesightError: nothing there, damaged, or a model of another kind.
    """
    kind = read_json(folder / "config.json").get("model_type")
    if kind not in KINDS:
        raise ForesightError(
            f"{folder} holds a model of type {kind!r}, expected 'dinov2': give a DINOv2 folder "
            "such as a download of facebook/dinov2-small."
        )
    require("transformers", "A DINOv2 model")
    from transformers import AutoModel

    try:
        model = AutoModel.from_pretrained(str(folder), use_safetensors=True)
    except Exception as error:  # safetensors, torch and transformers raise many kinds here
        raise ForesightError(
            f"The DINOv2 folder {folder} cannot be loaded ({type(error).__name__}): fetch or make "
            "it again."
        ) from error
    place = torch.device(device)
    return DinoEncoder(model.to(place).eval().requires_grad_(False), folder, image_size, place)
