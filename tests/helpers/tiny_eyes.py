"""A V-JEPA 2 with random weights that sees next to nothing in next to no time."""

from __future__ import annotations

from pathlib import Path

import torch

from foresight.perception.export import save_encoder
from foresight.perception.vit import VisionTransformer, VitConfig, initialise

SIZES = VitConfig(height=32, width=32, patch=8, dim=64, depth=1, heads=2, hidden=64)


def save_tiny_eyes(folder: Path) -> Path:
    """Write it to ``folder``, for tests that are not about the bundled encoders."""
    module = VisionTransformer(SIZES)
    initialise(module, torch.Generator().manual_seed(0))
    save_encoder(folder, module.state_dict(), SIZES)
    return folder
