"""Foresight: robots that imagine before they act."""

import importlib
import os
from typing import Any

__version__ = "0.1.0"

# Read by OpenMP when torch is first imported. Threads that spin while they wait make a second
# process on the same cores ten times slower; sleeping ones cost almost nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Loaded when first asked for, so that `import foresight` stays light.
_LAZY = {
    "load_ac_predictor": "foresight.perception.ac_checkpoint",
    "load_encoder": "foresight.perception.encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'foresight' has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
