"""Compiles and loads the C++ of this folder, once for each machine and version of the code."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch

from foresight.core.home import foresight_home

SOURCE = Path(__file__).parent / "library.cpp"
PARTS = (SOURCE, *sorted(SOURCE.parent.glob("*.hpp")))
FLAGS = ("-std=c++20", "-O3", "-march=sapphirerapids", "-shared", "-fPIC", "-pthread")
"""Named, not ``native``: the file may lie in a folder that several machines share."""
COMPILERS = ("c++", "g++", "clang++")
SECONDS = 300
SWITCH = "FORESIGHT_NATIVE"
"""The environment variable that turns it off where it is 0."""


class MissingError(Exception):
    """Why there is no library, as the end of a sentence."""


def library() -> ctypes.CDLL | None:
    """The compiled functions, or None where they cannot be had; then `why_not` says why.

    Nothing depends on them but speed, so what is missing is no error.
    """
    found = _found()
    return found if isinstance(found, ctypes.CDLL) else None


def why_not() -> str:
    """Why `library` gave None, in a few words; empty where it did not."""
    found = _found()
    return found if isinstance(found, str) else ""


@lru_cache(maxsize=1)
def _found() -> ctypes.CDLL | str:
    try:
        if turned_off():
            raise MissingError(f"{SWITCH} is 0")
        if sys.platform != "linux" or platform.machine() != "x86_64":
            raise MissingError("it is for Linux on x86-64")
        # No public query exists in all supported versions of torch.
        if not getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)():
            raise MissingError("the processor has no AMX")
        return _load(built(PARTS, FLAGS))
    except (MissingError, OSError) as error:
        return str(error)


def _load(path: Path) -> ctypes.CDLL:
    found = ctypes.CDLL(str(path))
    found.foresight_allowed.restype = ctypes.c_int
    found.foresight_encode.restype = ctypes.c_int
    found.foresight_encode.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_int] * 3
    found.foresight_roll.restype = ctypes.c_int
    found.foresight_roll.argtypes = (
        [ctypes.c_void_p] * 5 + [ctypes.c_int] * 2 + [ctypes.c_int64] * 2
    )
    if not found.foresight_allowed():
        raise MissingError("the system does not lend AMX's registers")
    return found


def built(parts: Sequence[Path], flags: Sequence[str]) -> Path:
    """The compiled file, made if there is none; of several processes the last one's stays.

    Args:
        parts: all that it is made of, what is compiled first.
        flags: of the compiler.

    Raises:
        MissingError: it cannot be compiled here.
    """
    hashed = hashlib.sha256(" ".join(flags).encode())
    for part in parts:
        hashed.update(part.read_bytes())
    path = foresight_home() / "native" / f"{parts[0].stem}-{hashed.hexdigest()[:16]}.so"
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        _compile(parts[0], flags, made)
        made.replace(path)
    return path


def turned_off() -> bool:
    """Whether the user wants none of it."""
    return os.environ.get(SWITCH, "") == "0"


def _compile(source: Path, flags: Sequence[str], path: Path) -> None:
    chosen = os.environ.get("CXX")
    names = (chosen,) if chosen else COMPILERS
    compiler = next((found for name in names if (found := shutil.which(name))), None)
    if compiler is None:
        raise MissingError(f"there is no C++ compiler ({' or '.join(names)})")
    command = [compiler, *flags, str(source), "-o", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line] or ["no message"]
        raise MissingError(f"{compiler} cannot compile it: {lines[0].strip()}") from error
    except subprocess.TimeoutExpired as error:
        raise MissingError(f"{compiler} took over {SECONDS} s") from error
