"""The rounds of episodes that an agent keeps of its own learning, one file each: read them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.rollout.arena import Rolled


def round_files(folder: Path | str) -> list[Path]:
    """The rounds in a model's folder, in the order in which they were lived."""
    return sorted((Path(folder) / "rounds").glob("*.safetensors"))


def read_round(path: Path) -> Rolled:
    """One round; its features have half precision.

    Raises:
        ForesightError: the file is missing or damaged.
    """
    return Rolled(*read_parts(path, *(field.name for field in fields(Rolled))))


def read_parts(path: Path, *names: str) -> tuple[Tensor, ...]:
    """Parts of a round, without loading the others.

    Args:
        path: of the round.
        names: fields of `Rolled`.

    Raises:
        ForesightError: the file is missing or damaged, or lacks a part.
    """
    try:
        with safe_open(path, "pt") as file:
            return tuple(file.get_tensor(name) for name in names)
    except (SafetensorError, OSError) as error:
        raise ForesightError(
            f"{path} cannot be read as a round of episodes ({error}): it is damaged, learn the "
            "task again."
        ) from error
