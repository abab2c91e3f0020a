"""One policy for ten tasks of Meta-World, beside what can be had without eyes."""

from __future__ import annotations

from dataclasses import replace

from foresight.envs.factories import METAWORLD
from foresight.evaluation.results import Result
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import DemonstratedConfig
from studies.demonstrated import measured
from studies.registry import Request

TASKS = (
    "push",
    "pick-place",
    "drawer-open",
    "door-open",
    "button-press",
    "window-close",
    "peg-insert-side",
    "reach",
    "drawer-close",
    "window-open",
)
POLICIES = (
    "chunk",
    "flow",
    "random-eyes",
    "blind",
    "eyes-shut",
    "replay",
    "zero",
    "random",
    "expert",
)


def presets() -> dict[str, DemonstratedConfig]:
    """The named sizes."""
    tasks = tuple(f"{METAWORLD}{task}" for task in TASKS)
    sizes = demonstrated.presets(tasks)
    full = replace(sizes["full"], policies=POLICIES)
    smoke = replace(sizes["smoke"], tasks=("metaworld/reach", "metaworld/button-press"))
    return {"full": full, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """See `studies.demonstrated.measured`."""
    config = presets()[request.preset]
    return measured("metaworld", METAWORLD, "first-success", config, request)
