"""Pictures inside parquet: PNG or JPEG bytes, or paths of files beside the dataset."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from foresight.core.errors import ForesightError

DEEP = ("I", "F")
"""Beginnings of Pillow's modes of more than 8 bits a channel."""


def decode_images(
    cells: list[Any], height: int, width: int, root: Path, where: str
) -> UInt8[np.ndarray, "T H W 3"]:
    """Pictures of one camera as RGB.

    Args:
        cells: a dict with ``bytes`` and ``path`` for each, or bytes alone.
        height: expected H in pixels.
        width: expected W in pixels.
        root: folder to which paths are relative.
        where: the episode and camera, for the sentence.

    Raises:
        ForesightError: a picture is missing, damaged, of another size or has more than 8 bits.
    """
    frames = np.empty((len(cells), height, width, 3), np.uint8)
    for row, cell in enumerate(cells):
        name = f"The picture in row {row} of {where}"
        try:
            with Image.open(io.BytesIO(_bytes(cell, root, name))) as picture:
                if picture.mode.startswith(DEEP):
                    raise ForesightError(
                        f"{name} has more than 8 bits a channel (mode {picture.mode}), like a "
                        "depth map: choose a colour camera."
                    )
                if picture.size != (width, height):
                    raise ForesightError(
                        f"{name} has {picture.height}x{picture.width} pixels but {height}x{width} "
                        "is expected: info.json describes other pictures."
                    )
                frames[row] = np.asarray(picture.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise ForesightError(
                f"{name} cannot be decoded ({error}): the file is damaged, copy it again."
            ) from error
    return frames


def _bytes(cell: Any, root: Path, name: str) -> bytes:
    content, path = cell, None
    if isinstance(cell, Mapping):
        content, path = cell.get("bytes"), cell.get("path")
    if content is not None:
        return bytes(content)
    if not path or not (root / path).is_file():
        raise ForesightError(f"{name} is missing (path {path!r}): copy the dataset again.")
    return Path(root, path).read_bytes()
