"""Where a number came from: git revision, package versions, configuration hash."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

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
    """The commit of the source tree, with ``-dirty`` when tracked files differ, or ``unknown``."""
    root = Path(__file__).parent
    try:
        revision = _git(root, "rev-parse", "HEAD")
        # Results are what a run writes: a table made twice in one tree is not a changed tree.
        dirty = _git(root, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return revision + ("-dirty" if dirty else "")


def versions() -> dict[str, str]:
    """Versions of Python, the platform and every package that can change a number."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    ).stdout.strip()
