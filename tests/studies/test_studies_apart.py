"""The package stands without its studies and benchmarks, and does not speak of their sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "foresight"
ALLOWED = {
    "cli/reproduce.py": {"studies"},
    "cli/bench.py": {"benchmarks"},
    "cli/report.py": {"studies"},
}
"""Who imports what lies beside the package; each asks for the checkout first."""


def imported(path: Path) -> set[str]:
    """First words of what a module imports, wherever it does."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
    return found


def test_the_package_imports_neither_studies_nor_benchmarks():
    found = {}
    for path in SOURCE.rglob("*.py"):
        if beside := imported(path) & {"studies", "benchmarks"}:
            found[str(path.relative_to(SOURCE))] = beside
    assert found == ALLOWED
    for name, (folder,) in ALLOWED.items():
        text = (SOURCE / name).read_text()
        asked = text.index(f'use_checkout("{folder}")')
        assert asked < text.index(f"from {folder}."), name


def test_the_package_says_nothing_of_the_source_documents():
    words = re.compile(r"source documents?|the sources\b|sources'|SOURCE_|\(findings,")
    for path in SOURCE.rglob("*.py"):
        assert not words.search(path.read_text()), path
