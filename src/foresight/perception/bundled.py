"""Encoders without a download: ``foresight-small`` in the package, ``random-small`` on demand."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.perception.random_small import NAME as RANDOM_SMALL
from foresight.perception.random_small import random_small_folder

FORESIGHT_SMALL = "foresight-small"
NAMES = (FORESIGHT_SMALL, RANDOM_SMALL)
DEFAULT = FORESIGHT_SMALL


def folder(name: str) -> Path:
    """Folder of a bundled encoder, in the layout of ``transformers``.

    Raises:
        ForesightError: the package's own files are missing, or a folder cannot be written.
    """
    if name == RANDOM_SMALL:
        return random_small_folder()
    found = Path(str(resources.files("foresight.perception"))) / "encoders" / name
    if not (found / "model.safetensors").is_file():
        raise ForesightError(
            f"The bundled encoder {name} is missing at {found}: install foresight again, or use "
            f"{RANDOM_SMALL}."
        )
    return found
