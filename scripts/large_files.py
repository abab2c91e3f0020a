#!/usr/bin/env python3
"""Refuse large files: what is committed once is downloaded by everybody for ever.

    scripts/large_files.py            all files that git tracks
    scripts/large_files.py FILE ...   these, as pre-commit calls it

Exit code 1 when a file is too large. Needs nothing but Python and git.
"""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

LIMITS = [
    # The first pattern that fits decides. Weights are the largest things that belong here.
    ("src/foresight/perception/encoders/*/model.safetensors", 12_000_000),
    ("tests/data/vjepa2*-reference/*.safetensors", 7_000_000),
    ("docs/*.gif", 1_500_000),
    ("results/*.json", 100_000),
    ("results/*", 300_000),
    ("*", 200_000),
]
"""Pattern of the path to the most bytes."""
RESULTS = 6_000_000
"""Most bytes of the whole folder ``results``."""


def limit(path: str) -> int:
    """The most bytes that a file may have.

    Args:
        path: from the repository's root, with forward slashes.
    """
    return next(most for pattern, most in LIMITS if fnmatch(path, pattern))


def complaints(sizes: dict[str, int]) -> list[str]:
    """A sentence for each file that is too large.

    Args:
        sizes: path to bytes.
    """
    found = [
        f"{path} has {size:,} bytes, at most {limit(path):,} were expected: keep it outside of the "
        "repository, or make it smaller."
        for path, size in sorted(sizes.items())
        if size > limit(path)
    ]
    total = sum(size for path, size in sizes.items() if path.startswith("results/"))
    if total > RESULTS:
        found.append(f"results/ has {total:,} bytes, at most {RESULTS:,} were expected.")
    return found


def main(words: list[str]) -> int:
    """Check the files that are named, or else all that are tracked."""
    tracked = ["git", "ls-files", "-z"]
    names = words or subprocess.run(
        tracked, check=True, capture_output=True, text=True
    ).stdout.rstrip("\0").split("\0")
    found = complaints({name: Path(name).stat().st_size for name in names if Path(name).is_file()})
    print("\n".join(found), end="\n" if found else "", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
