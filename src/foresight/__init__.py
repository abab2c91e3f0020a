"""Foresight: robots that imagine before they act.

The names to remember; everything else has its room (``docs/design.md``).

>>> import foresight
>>> env = foresight.make("reacher-easy")            # or foresight.wrap(your_gymnasium_env)
>>> dataset = foresight.load_dataset("recordings")  # any LeRobot folder  # doctest: +SKIP
>>> model = foresight.train(dataset, "world-model", "runs/model")         # doctest: +SKIP
>>> result = foresight.evaluate("random", "reacher-easy", episodes=2)     # doctest: +SKIP
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from foresight.api import collect, evaluate, load_dataset, train
    from foresight.core.checkpoint import load
    from foresight.core.observation import Observation
    from foresight.core.policy import Policy
    from foresight.core.spec import Spec
    from foresight.envs.registry import make, register_env
    from foresight.envs.wrap import wrap
    from foresight.perception.encoder import load_encoder

__version__ = "0.1.0"

__all__ = [
    "Observation",
    "Policy",
    "Spec",
    "collect",
    "evaluate",
    "load",
    "load_dataset",
    "load_encoder",
    "make",
    "register_env",
    "train",
    "wrap",
]

# Read by OpenMP when torch is first imported. Threads that spin while they wait make a second
# process on the same cores ten times slower; sleeping ones cost almost nothing.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Loaded when first asked for, so that `import foresight` stays light.
_HOMES = {
    "Observation": "core.observation",
    "Policy": "core.policy",
    "Spec": "core.spec",
    "collect": "api",
    "evaluate": "api",
    "load": "core.checkpoint",
    "load_dataset": "api",
    "load_encoder": "perception.encoder",
    "make": "envs.registry",
    "register_env": "envs.factories",
    "train": "api",
    "wrap": "envs.wrap",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'foresight' has no attribute {name!r}")
    return getattr(importlib.import_module(f"foresight.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
