"""HDF5 files of demonstrations: found, opened, and what cannot be read named in a sentence.

The layout is robomimic's (https://robomimic.github.io/docs/datasets/overview.html), which LIBERO
took over: a group for each demonstration below ``data``, arrays in it whose rows are steps, JSON
texts as attributes.
"""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError, first_line

SUFFIXES = (".hdf5", ".h5")
LFS = b"version https://git-lfs"
UNREADABLE = (OSError, KeyError, RuntimeError, ValueError)
"""What h5py raises where the bytes of a file do not fit together."""


class FaultyError(ForesightError):
    """A file or demonstration that cannot be imported; others may be."""


def demonstration_files(source: Path) -> list[Path]:
    """The file itself, or all HDF5 files below a folder, numbers in their names in order.

    Raises:
        ForesightError: there is none.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ForesightError(f"{source} does not exist: check the path.")
    found = [path for path in source.rglob("*") if path.suffix in SUFFIXES and path.is_file()]
    if not found:
        raise ForesightError(
            f"{source} holds no file that ends in {' or '.join(SUFFIXES)}: give a file of "
            "demonstrations or a folder of such files."
        )
    return sorted(found, key=lambda path: by_number(str(path.relative_to(source))))


def by_number(name: str) -> list[tuple[int, str]]:
    """A key that sorts ``demo_2`` before ``demo_10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The ``h5py.File`` at ``path``, to read.

    Raises:
        FaultyError: it is no HDF5 file, cut short, not to be read, or being written.
    """
    import h5py

    try:
        with path.open("rb") as raw:
            begin = raw.read(len(LFS))
        known = bool(h5py.is_hdf5(path))
        file = h5py.File(path, "r") if known else None
    except OSError as error:
        raise FaultyError(_refusal(path, error)) from error
    if file is None:
        pointer = ", but a pointer of Git LFS to one" if begin == LFS else ""
        raise FaultyError(
            f"{path} is no HDF5 file{pointer}: give files of demonstrations as LIBERO or "
            "robomimic write them."
        )
    try:
        with file:
            yield file
    except (OSError, RuntimeError) as error:  # what the library below h5py found inside
        raise FaultyError(
            f"{path} cannot be read to its end ({first_line(error)}): it was damaged on its way, "
            "copy it again, or leave it out with --skip-faulty."
        ) from error


def _refusal(path: Path, error: OSError) -> str:
    if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
        return f"{path} is being written by another process: wait for it."
    if error.errno in (errno.EACCES, errno.EPERM, errno.ENOENT, errno.EISDIR):
        return f"{path} cannot be read ({os.strerror(error.errno)}): check path and permissions."
    return (
        f"{path} cannot be opened ({first_line(error)}): it was cut short or damaged on its way, "
        "copy it again, or leave it out with --skip-faulty."
    )


def demo_names(file: Any, path: Path) -> list[str]:
    """Names of the groups below ``data``, in the order of their numbers.

    Raises:
        FaultyError: there is no such group, or none in it.
    """
    try:
        data = file["data"]
        names = [name for name in data if _may_be_group(data, name)]
    except UNREADABLE as error:
        raise FaultyError(
            f"{path} has no group 'data' that can be read ({first_line(error)}): expected "
            "demonstrations as LIBERO or robomimic write them."
        ) from error
    if not names:
        raise FaultyError(f"{path} holds no demonstration below 'data': give another file.")
    return sorted(names, key=by_number)


def _may_be_group(data: Any, name: str) -> bool:
    """Whether it is a group, or cannot be read and is to be complained of later."""
    try:
        return hasattr(data[name], "keys")
    except UNREADABLE:
        return True


def demonstration(data: Any, name: str) -> Any:
    """The group of one demonstration.

    Raises:
        FaultyError: it cannot be read.
    """
    try:
        return data[name]
    except UNREADABLE as error:
        raise FaultyError(
            f"{data.file.filename}, {name}: it cannot be read ({first_line(error)}); copy the file "
            "again, or leave it out with --skip-faulty."
        ) from error


def attribute(node: Any, name: str) -> Any:
    """An attribute of a file, group or array; a JSON text becomes what it says, none None."""
    try:
        value = node.attrs.get(name)
    except UNREADABLE:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def whole(demo: Any, key: str, rows: slice = slice(None)) -> np.ndarray:
    """An array of a demonstration, or some rows of it.

    Args:
        demo: its group.
        key: below it, such as ``obs/ee_pos``.
        rows: which steps.

    Raises:
        FaultyError: there is none, or its bytes cannot be read.
    """
    array = member(demo, key)
    try:
        found: np.ndarray = np.asarray(array[rows])
    except UNREADABLE as error:
        raise faulty(demo, f"{key} cannot be read ({first_line(error)})") from error
    return found


def member(demo: Any, key: str) -> Any:
    """The h5py dataset of this key, of which nothing is read yet.

    Raises:
        FaultyError: there is none, or it cannot be read.
    """
    try:
        found = demo[key]
    except UNREADABLE as error:
        folder, _, name = key.rpartition("/")
        parent = demo.get(folder) if folder else demo
        if parent is not None and name not in list(parent):
            raise faulty(demo, f"there is no {key}") from error
        raise faulty(demo, f"{key} cannot be read ({first_line(error)})") from error
    if not hasattr(found, "shape"):
        raise faulty(demo, f"{key} is a group where an array is expected")
    if len(found.shape) < 1:
        raise faulty(demo, f"{key} is a single value where a row for each step is expected")
    return found


def faulty(demo: Any, words: str) -> FaultyError:
    """The error for a demonstration, which it names with its file."""
    name = demo.name.rpartition("/")[2]
    return FaultyError(
        f"{demo.file.filename}, {name}: {words}; mend it, or leave it out with --skip-faulty."
    )
