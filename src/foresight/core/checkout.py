"""What lies beside the package in a checkout of the repository and not in its wheel."""

from __future__ import annotations

import sys
from pathlib import Path

from foresight.core.errors import ForesightError

ROOT = Path(__file__).resolve().parents[3]
"""The folder of the checkout, where the package runs from one."""


def use_checkout(folder: str) -> None:
    """Make a package beside ``src`` importable: ``studies`` or ``benchmarks``.

    Raises:
        ForesightError: the package runs from an installed wheel, which holds no such folder.
    """
    if not (ROOT / folder / "__init__.py").exists():
        raise ForesightError(
            f"The folder {folder} is part of the repository and not of the installed package: "
            "clone the repository and run the same command there."
        )
    if str(ROOT) not in sys.path:
        sys.path.append(str(ROOT))
