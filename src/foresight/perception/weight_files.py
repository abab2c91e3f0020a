"""Weight files as they lie on a disk: read, or told for what they are.

Half of what is called damaged is something healthy in the wrong place: a pointer of git-lfs, the
web page of an error, a PyTorch file under another name. Only what is left after that is damaged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from foresight.core.errors import ForesightError, first_line
from foresight.core.files import read_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
TORCH_FILES = (".pt", ".pth", ".tar", ".bin", ".ckpt")
TORCH_WEIGHTS = "pytorch_model.bin"

SHARD = re.compile(r"model-(\d+)-of-(\d+)\.safetensors")
REFUSED = re.compile(r"GLOBAL ([\w.]+)")
BEGINNINGS = (
    (b"version https://git-lfs", "is a pointer of git-lfs, not the weights: run `git lfs pull`"),
    (b"<!doctype html", "is a web page, probably of an error: fetch the file itself"),
    (b"<html", "is a web page, probably of an error: fetch the file itself"),
)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors files of a folder, by its index or, without one, by their numbers.

    Raises:
        ForesightError: none, or one of several is missing; the message names it.
    """
    if (folder / WEIGHTS).exists():
        return (folder / WEIGHTS,)
    if (folder / INDEX).exists():
        return _indexed(folder)
    shards = {
        int(match[1]): (path, int(match[2]))
        for path in sorted(folder.glob("model-*"))
        if (match := SHARD.fullmatch(path.name))
    }
    if not shards:
        other = folder / TORCH_WEIGHTS
        raise ForesightError(
            f"{folder} has no {WEIGHTS}"
            + (
                f" but a {TORCH_WEIGHTS}: give {other} itself."
                if other.exists()
                else ": the checkpoint is incomplete, fetch or make it again."
            )
        )
    total = max(count for _, count in shards.values())
    lacking = sorted(set(range(1, total + 1)) - shards.keys())
    if lacking:
        name = f"model-{lacking[0]:05d}-of-{total:05d}.safetensors"
        raise ForesightError(
            f"{folder} holds {len(shards)} of {total} shards, no index, and no {name}: fetch that "
            "file into the folder."
        )
    return tuple(shards[number][0] for number in range(1, total + 1))


def read_safetensors(files: tuple[Path, ...]) -> dict[str, Tensor]:
    """All tensors of some safetensors files.

    Raises:
        ForesightError: a file is damaged, or something else under this name.
    """
    from safetensors.torch import load_file

    found: dict[str, Tensor] = {}
    for file in files:
        found |= _read(file, lambda file=file: load_file(file))  # type: ignore[misc]
    return found


def read_torch(path: Path) -> Any:
    """What a PyTorch file holds, its code never run.

    Raises:
        ForesightError: a file is damaged, or holds more than weights and plain values.
    """

    def read() -> Any:
        with path.open("rb") as file:
            archive = file.read(2) == b"PK"  # PyTorch before 1.6 wrote none, which cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)

    return _read(path, read)


def expect_file(path: Path) -> None:
    """Refuse a file that is another thing than its name says.

    Raises:
        ForesightError: it is empty, a pointer of git-lfs or a web page.
    """
    with path.open("rb") as file:
        beginning = file.read(64)
    if not beginning:
        raise ForesightError(f"{path} is empty: fetch or make it again.")
    for sign, words in BEGINNINGS:
        if beginning.lstrip().lower().startswith(sign):
            raise ForesightError(f"{path} {words}.")


def read_config(path: Path) -> Any:
    """A ``config.json``.

    Raises:
        ForesightError: missing, or no JSON; a pointer or a web page is called that.
    """
    if path.is_file():
        expect_file(path)
    return read_json(path)


def _read(path: Path, read: Callable[[], Any]) -> Any:
    expect_file(path)
    try:
        return read()
    except Exception as error:  # safetensors, torch, zip and pickle raise many kinds here
        raise ForesightError(_why(path, error)) from error


def _why(path: Path, error: Exception) -> str:
    """One sentence about a file that could not be read."""
    text = str(error)
    refused = REFUSED.search(text)
    if refused:
        return (
            f"{path} holds more than weights (a pickled {refused[1]}), and pickled code is never "
            "run here: where you trust the file, load it with PyTorch and save its weights alone "
            "as safetensors."
        )
    if "TorchScript" in text:
        return (
            f"{path} is a TorchScript program, not a file of weights: save the state_dict of its "
            "module as safetensors."
        )
    with path.open("rb") as file:
        begin = file.read(2)
    if path.suffix == ".safetensors" and begin in (b"PK", b"\x80\x02"):
        return f"{path} is a PyTorch file under another name: give it the ending .pt."
    return (
        f"{path} cannot be loaded ({type(error).__name__}: {first_line(error)}): the file is "
        "damaged or cut short, fetch or make it again."
    )


def _indexed(folder: Path) -> tuple[Path, ...]:
    index = read_config(folder / INDEX)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict) or not all(isinstance(n, str) for n in shards.values()):
        raise ForesightError(
            f"{folder / INDEX} is no index of shards (it has no weight_map): fetch it again."
        )
    names = sorted(set(shards.values()))
    lacking = [name for name in names if not (folder / name).is_file()]
    if lacking or not names:
        missing = lacking[0] if lacking else "any"
        raise ForesightError(
            f"{folder} has no {missing}, one of {len(names)} shards that its index names: fetch "
            "that file into the folder."
        )
    return tuple(folder / name for name in names)
