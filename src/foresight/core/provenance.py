"""Where a number came from: git revision, package versions, configuration hash."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import foresight
from foresight.core.files import read_json

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the running package."""
BUILD_FILE = "build.json"
"""In an installed package: the revision that its wheel was built from (see `hatch_build.py`)."""
UNKNOWN = "unknown"
ABSENT = "absent"
PACKAGES = (
    "foresight",
    "torch",
    "transformers",
    "mujoco",
    "dm_control",
    "gymnasium",
    "numpy",
    "av",
)


def git_revision() -> str:
    """The commit that the running package comes from, or ``unknown``.

    In a checkout of Foresight it is asked of git, with ``-dirty`` when tracked files differ; in an
    installed package it stands in a file that the build wrote. A repository that merely surrounds
    the package, such as the user's own project, is never asked.
    """
    root = PACKAGE.parents[1]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() == root and _ours(root):
            return _revision(root)
    except (OSError, subprocess.CalledProcessError):
        pass
    built = PACKAGE / BUILD_FILE
    return str(read_json(built)["revision"]) if built.exists() else UNKNOWN


def versions(names: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python, the platform and every package that can change a number.

    Args:
        names: of the packages, as pip knows them; ``absent`` where one is not installed.
    """
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in names:
        try:
            # Its own version does not hang on how it was installed, or whether it was.
            ours = name == "foresight"
            found[name] = foresight.__version__ if ours else metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ABSENT
    return found


def _ours(root: Path) -> bool:
    """Whether the running package is the one that a checkout at ``root`` builds."""
    return (root / "pyproject.toml").exists() and root / "src" / "foresight" == PACKAGE


def _revision(root: Path) -> str:
    revision = _git(root, "rev-parse", "HEAD")
    # Results are what a run writes: a table made twice in one tree is not a changed tree.
    dirty = _git(root, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")
    return revision + ("-dirty" if dirty else "")


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    ).stdout.strip()
