"""The rooms of the house: imports run one way along the line, and a file has one subject."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "foresight"
LINE = (
    "core",
    "envs",
    "serving",
    "data",
    "native",
    "perception",
    "worldmodel",
    "planning",
    "policies",
    "experts",
    "rollout",
    "training",
    "evaluation",
    "diagnostics",
    "report",
    "pipelines",
    "cli",
)
"""A room may use those before it."""

MOST_LINES = 400


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def room_of(path: Path) -> str | None:
    """The room of a file; None for those beside the rooms."""
    parts = path.relative_to(SOURCE).parts
    return parts[0] if len(parts) > 1 else None


def imported(path: Path) -> set[str]:
    """Rooms that a file imports from, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "foresight":
                names = [f"foresight.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("foresight.")}
    return found & set(LINE)


def test_every_room_stands_in_the_line():
    rooms = {room for path in modules() if (room := room_of(path)) is not None}
    assert rooms == set(LINE)


def test_imports_run_one_way():
    against = {
        (str(path.relative_to(SOURCE)), room)
        for path in modules()
        if (own := room_of(path)) is not None
        for room in imported(path)
        if LINE.index(room) > LINE.index(own)
    }
    assert not against


def test_the_reader_of_imports_sees_them(tmp_path):
    file = tmp_path / "some.py"
    file.write_text(
        "import foresight.core.files\nfrom foresight import cli\nimport numpy\n"
        "def late():\n    from foresight.policies.mpc import MPCPolicy\n"
    )
    assert imported(file) == {"core", "cli", "policies"}


def test_no_file_is_longer_than_a_reader_bears():
    long = {
        str(path.relative_to(SOURCE)): lines
        for path in modules()
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES
    }
    assert not long
