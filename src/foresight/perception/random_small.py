"""``random-small``: a V-JEPA 2 with random weights, made on the spot, for machines without a hub.

Random but not blind: untrained tokens keep where things are. It goes through exactly the loading
path of a published checkpoint, so what runs with it runs with the real one.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foresight.errors import ForesightError
from foresight.files import disk_errors
from foresight.home import foresight_home
from foresight.perception.checkpoint import quiet_transformers

NAME = "random-small"
SEED = 2
CONFIG: dict[str, Any] = {
    "crop_size": 64,
    "patch_size": 8,
    "tubelet_size": 2,
    "frames_per_clip": 16,
    "hidden_size": 192,
    "num_hidden_layers": 6,
    "num_attention_heads": 3,
    # The predictor is never used: as small as the format allows.
    "pred_hidden_size": 24,
    "pred_num_hidden_layers": 1,
    "pred_num_attention_heads": 2,
}


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
    from transformers import VJEPA2Config, VJEPA2Model

    model = VJEPA2Model(VJEPA2Config(**CONFIG))
    # Own initialisation (that of V-JEPA 2: normal of std .02, zero bias, unit norms): numpy's
    # stream stays the same over versions of torch and transformers.
    generator = np.random.default_rng(SEED)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if name.endswith("bias"):
                weight.zero_()
            elif "norm" in name:
                weight.fill_(1.0)
            else:
                values = generator.standard_normal(tuple(weight.shape), dtype=np.float32)
                weight.copy_(torch.from_numpy(0.02 * values))
    with quiet_transformers():
        model.save_pretrained(folder)
