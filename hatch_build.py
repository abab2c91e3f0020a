"""Writes the commit into what is built, so that an installed package can name it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FILE = "build.json"
"""Beside the package's modules; `foresight.core.provenance` reads it."""


class RevisionHook(BuildHookInterface):
    """Adds ``foresight/build.json`` to a wheel or source archive that is built from a checkout.

    An archive that is unpacked and built brings the file along. An editable installation has none:
    its checkout is asked.
    """

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before it collects files."""
        if version == "editable":
            return
        package = "src/foresight" if self.target_name == "sdist" else "foresight"
        brought = Path(self.root) / "src" / "foresight" / FILE
        revision = revision_of(Path(self.root))
        if revision is None and brought.exists():
            return
        self._folder = tempfile.TemporaryDirectory()
        path = Path(self._folder.name) / FILE
        path.write_text(json.dumps({"revision": revision or "unknown"}) + "\n", encoding="utf-8")
        build_data["force_include"][str(path)] = f"{package}/{FILE}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling when the archive is written."""
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def revision_of(root: Path) -> str | None:
    """The commit of a checkout, ``-dirty`` where tracked files differ; None outside of one."""
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None  # another project's repository around an unpacked archive
        dirty = _git(root, "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")
        return _git(root, "rev-parse", "HEAD") + ("-dirty" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
    ).stdout.strip()
