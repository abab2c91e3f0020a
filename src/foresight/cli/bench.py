"""``foresight bench``: speed, as ratios. The benchmarks lie beside the package, in a checkout."""

from __future__ import annotations

from foresight.core.checkout import use_checkout

use_checkout("benchmarks")

from benchmarks.command import Config, main  # noqa: E402

__all__ = ["Config", "main"]
