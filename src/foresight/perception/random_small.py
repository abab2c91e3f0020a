"""``random-small``: a V-JEPA 2 with random weights, made on the spot, for machines without a hub.

Random but not blind: untrained tokens keep where things are. It goes through exactly the loading
path of a published checkpoint, so what runs with it runs with the real one, and it is the baseline
that pretraining has to beat.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch

from foresight.core.errors import ForesightError
from foresight.core.files import disk_errors
from foresight.core.home import foresight_home
from foresight.perception.export import save_encoder
from foresight.perception.vit import VisionTransformer, VitConfig

NAME = "random-small"
SEED = 2
SIZES = VitConfig(height=64, width=64, patch=8, dim=192, depth=6, heads=3, hidden=768)


def random_small_folder() -> Path:
    """Folder of the bundled encoder, made on first use (a few seconds).

    Safe when several processes ask at once: each writes a temporary folder, one rename wins.

    Raises:
        ForesightError: the folder cannot be written or the disk is full.
    """
    folder = foresight_home() / "encoders" / NAME
    if folder.is_dir():
        return folder
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{NAME}.", dir=folder.parent))
        try:
            _save(temporary)
            temporary.chmod(0o755)
            _publish(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _publish(temporary: Path, folder: Path) -> None:
    try:
        temporary.rename(folder)
    except OSError as error:
        if not (folder / "model.safetensors").is_file():  # another process was not the reason
            raise ForesightError(
                f"Cannot put the bundled encoder at {folder} ({error.strerror}): remove what is "
                "there, or point FORESIGHT_HOME at another folder."
            ) from error


def _save(folder: Path) -> None:
    with torch.device("meta"):
        shapes = VisionTransformer(SIZES).state_dict()
    # Own initialisation (that of V-JEPA 2: normal of std .02, zero bias, unit norms): numpy's
    # stream stays the same over versions of torch.
    generator = np.random.default_rng(SEED)
    weights = {}
    for name, weight in sorted(shapes.items()):
        shape = tuple(weight.shape)
        if name.endswith("bias"):
            values = np.zeros(shape, np.float32)
        elif "norm" in name:
            values = np.ones(shape, np.float32)
        else:
            values = np.float32(0.02) * generator.standard_normal(shape, dtype=np.float32)
        weights[name] = torch.from_numpy(values)
    save_encoder(folder, weights, SIZES)
