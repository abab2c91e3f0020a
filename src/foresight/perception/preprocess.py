"""Pixels to what a V-JEPA 2 encoder was trained on."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b t 3 h w"]:
    """Bytes to ImageNet-normalised fp32, channels before rows."""
    mean = torch.tensor(IMAGENET_MEAN, device=frames.device) * 255.0
    std = torch.tensor(IMAGENET_STD, device=frames.device) * 255.0
    return ((frames.float() - mean) / std).permute(0, 1, 4, 2, 3)
