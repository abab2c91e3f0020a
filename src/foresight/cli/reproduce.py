"""``foresight reproduce``: the studies, by name. They lie beside the package, in a checkout."""

from __future__ import annotations

from foresight.core.checkout import use_checkout

use_checkout("studies")

from studies.command import main  # noqa: E402
from studies.registry import Request as Config  # noqa: E402

__all__ = ["Config", "main"]
