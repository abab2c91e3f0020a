"""What an unfinished training needs to go on: one safetensors file that appears by rename."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write


@dataclass(frozen=True)
class TrainingState:
    """A state that was read back.

    Attributes:
        tensors: ``part/name`` to tensor.
        notes: what was written beside the tensors.
    """

    tensors: dict[str, Tensor]
    notes: dict[str, str]

    def part(self, name: str) -> dict[str, Tensor]:
        """The tensors of one part, under their own names."""
        prefix = f"{name}/"
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}

    def restore(self, optimizer: torch.optim.Optimizer) -> None:
        """Give an optimiser its moments back; its settings stay."""
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in self.part("adam").items():
            index, key = name.split("/")
            moments.setdefault(int(index), {})[key] = value
        groups = optimizer.state_dict()["param_groups"]
        optimizer.load_state_dict({"state": moments, "param_groups": groups})


def save_training(
    path: Path,
    identity: str,
    parts: Mapping[str, Mapping[str, Tensor]],
    optimizer: torch.optim.Optimizer,
    notes: Mapping[str, str],
) -> None:
    """Write a state atomically.

    Args:
        path: the file.
        identity: fingerprint of data and settings.
        parts: name of a part to its tensors, such as a model's ``state_dict``.
        optimizer: its moments are written as the part ``adam``.
        notes: kept beside the tensors.

    Raises:
        ForesightError: the folder cannot be written or the disk is full.
    """
    tensors = {f"{part}/{k}": v for part, held in parts.items() for k, v in held.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"adam/{index}/{k}": v for k, v in moments.items()}
    tensors = {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()}
    about = {"identity": identity, **notes}
    atomic_write(path, lambda temporary: save_file(tensors, temporary, about))


def load_training(path: Path, identity: str) -> TrainingState | None:
    """Read a state; None where there is none yet.

    Raises:
        ForesightError: the file is damaged, or of a training with another identity.
    """
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            notes = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ForesightError(
            f"{path} cannot be read ({error}): it is damaged, delete it to train anew."
        ) from error
    if notes.get("identity") != identity:
        raise ForesightError(
            f"{path} belongs to a training with other data or settings "
            f"({notes.get('identity')} instead of {identity}): choose another folder or delete "
            "that file."
        )
    return TrainingState(tensors, notes)
