"""Atomic files, fingerprints and plain-sentence disk errors."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError

_UNWRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,  # a file where a folder was to be made
    errno.ENOENT,  # a file system that takes no folders
)


@contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Turn the usual disk failures around ``path`` into a ``ForesightError``."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ForesightError(
                f"The disk is full while writing {path}: free some space and run the same command "
                "again, finished work is kept."
            ) from error
        if error.errno in _UNWRITABLE:
            raise ForesightError(
                f"Cannot write {path} ({os.strerror(error.errno)}): choose a folder that you may "
                "write to."
            ) from error
        raise


UMASK = os.umask(0)
"""Permissions that new files lack; asking for it sets it, so it is asked for once and set back."""
os.umask(UMASK)


def atomic_write(path: Path | str, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary sibling of ``path``, then rename it into place.

    A reader sees the old file or the whole new one, also after a ``kill -9`` or a power cut.

    Raises:
        ForesightError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~UMASK)  # safetensors makes files for their owner alone
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_abandoned(path: Path | str) -> None:
    """Remove what killed processes left of `atomic_write` to this path; those that live go on."""
    path = Path(path)
    for temporary in path.parent.glob(f".{path.name}.*.tmp"):
        writer = temporary.name.split(".")[-2]
        if writer.isdecimal() and not _lives(int(writer)):
            temporary.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # somebody else's, or no way to know
    return True


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text, atomically."""
    atomic_write(path, lambda temporary: _fill(temporary, text.encode()))


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes, atomically."""
    atomic_write(path, lambda temporary: _fill(temporary, data))


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN is refused."""
    text = json.dumps(value, indent=1, allow_nan=False, default=plain_json) + "\n"
    write_text(path, text)


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        ForesightError: the file is missing or is not valid JSON.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # some editors write a byte order mark
            return json.load(file)
    except FileNotFoundError as error:
        raise ForesightError(f"{path} does not exist: check the path.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ForesightError(
            f"{path} is not valid JSON ({error}): it is damaged, make it again."
        ) from error


def fingerprint(value: Any) -> str:
    """A short stable hash (16 hex digits) of a JSON-like value, a dataclass or bytes.

    Fields made by `late` are left out of it while they have their default.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return hashlib.sha256(value).hexdigest()[:16]
    text = json.dumps(value, sort_keys=True, default=_identifying)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def late(default: Any) -> Any:
    """A field of a configuration that came when runs were kept already.

    At its default it does what was done before there was any, so those runs keep their fingerprint
    and go on.
    """
    return field(default=default, metadata={"late": True})


def _identifying(value: Any) -> Any:
    """`plain_json` without late fields at their default."""
    if not is_dataclass(value) or isinstance(value, type):
        return plain_json(value)
    parts = {item: getattr(value, item.name) for item in fields(value)}
    return {
        item.name: part
        for item, part in parts.items()
        if not (item.metadata.get("late") and part == item.default)
    }


def file_fingerprint(path: Path | str) -> str:
    """The same hash over a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _fill(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def plain_json(value: Any) -> Any:
    """JSON for the types that configurations and rows hold beside the built-in ones."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not fit into JSON")
