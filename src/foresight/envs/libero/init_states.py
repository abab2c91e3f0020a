"""The benchmark's states to begin with, read without running what their files say.

Those of LIBERO-PRO are NumPy's archives (``.npz``) of one array ``states``, without pickles.
LIBERO's files are zip archives of ``torch.save`` with a pickle of one NumPy array inside
(``.pruned_init``). A pickle may call any function of any package as it is loaded, and LIBERO loads
it with ``weights_only=False``. Here only the names that such an array needs are known, and each
stands for a function of this module: nothing that a file says is imported or called.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError, first_line

ARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
"""Where NumPy's arrays of a pickle come from, before and since NumPy 2."""
STATES = "states.npy"
"""What an archive of NumPy's calls its array."""
LARGEST = 64_000_000
"""Bytes of an archive's array; the largest of the benchmark has 50 rows of 123 numbers."""


def read_init_states(path: str | Path) -> Float64[np.ndarray, "N S"]:
    """The rows of a ``.pruned_init`` or ``.npz`` file: time, positions and velocities of MuJoCo's
    state.

    Raises:
        ForesightError: the file is missing, no such archive, or it holds anything but one array of
            numbers.
    """
    try:
        rows = _numpy_rows(path) if Path(path).suffix == ".npz" else _pickled_rows(path)
        if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
            raise ValueError("no table of finite numbers")
    except FileNotFoundError as error:
        raise ForesightError(
            f"The states that an episode begins with are missing ({path}): install LIBERO anew "
            "(docs/libero.md)."
        ) from error
    except Exception as error:  # a strange pickle fails in any way
        raise ForesightError(
            f"{path} is not read ({first_line(error)}): expected an archive with one array of "
            "numbers and nothing else."
        ) from error
    return rows


def _pickled_rows(path: str | Path) -> Float64[np.ndarray, "..."]:
    found = _Unpickler(io.BytesIO(_inner(path, "/data.pkl"))).load()
    return found.array() if isinstance(found, _Array) else np.zeros(0)


def _numpy_rows(path: str | Path) -> Float64[np.ndarray, "..."]:
    rows = np.lib.format.read_array(io.BytesIO(_inner(path, STATES)), allow_pickle=False)
    if rows.dtype != np.float64:
        raise ValueError("its numbers are no float64")
    return np.asarray(rows)


def _inner(path: str | Path, ending: str) -> bytes:
    """The one file of an archive with this ending."""
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(ending)]
        if archive.getinfo(name).file_size > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes")
        return archive.read(name)


class _Array:
    """What a pickled array says of itself, until its numbers are known."""

    def __init__(self) -> None:
        self._told: tuple[Any, ...] = ()

    def __setstate__(self, told: tuple[Any, ...]) -> None:
        self._told = told

    def array(self) -> Float64[np.ndarray, "..."]:
        _, shape, kind, fortran, raw = self._told
        if kind != ("f8",) or not isinstance(raw, bytes) or fortran is not False:
            raise ValueError("its numbers are no float64 in C order")
        if len(raw) != 8 * math.prod(shape):
            raise ValueError("its shape does not fit its bytes")
        return np.frombuffer(raw, "<f8").reshape(shape).copy()


class _Kind(tuple):  # type: ignore[type-arg]
    """A NumPy dtype by the name in the pickle."""

    def __setstate__(self, told: tuple[Any, ...]) -> None:
        if told[1] not in ("<", "|", "="):
            raise ValueError("its numbers have another byte order")


def _begin(*_: object) -> _Array:
    return _Array()


def _kind(name: object, *_: object) -> _Kind:
    return _Kind((name,))


def _encoded(text: object, how: object) -> bytes:
    if not isinstance(text, str) or how != "latin1":
        raise ValueError("its bytes are written in another way")
    return text.encode("latin1")


_KNOWN = {
    **{(module, "_reconstruct"): _begin for module in ARRAY},
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _kind,
    ("_codecs", "encode"): _encoded,
}


class _Unpickler(pickle.Unpickler):
    """Knows the four names of an array."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise ValueError(f"its pickle asks for {module}.{name}, which is not run")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise ValueError("its pickle refers to another file")
