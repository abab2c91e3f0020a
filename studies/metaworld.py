"""One policy for ten tasks of Meta-World, beside what can be had without eyes."""

from __future__ import annotations

from dataclasses import asdict, replace

from foresight.evaluation.results import Result, make_result
from foresight.pipelines import demonstrated
from foresight.pipelines.demonstrated import DemonstratedConfig
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
LABELS = ("own scripted demonstrations", "fast rendering")


def presets() -> dict[str, DemonstratedConfig]:
    """The named sizes."""
    tasks = tuple(f"metaworld/{task}" for task in TASKS)
    sizes = demonstrated.presets(tasks)
    full = replace(sizes["full"], policies=POLICIES)
    smoke = replace(sizes["smoke"], tasks=("metaworld/reach", "metaworld/button-press"))
    return {"full": full, "smoke": smoke}


def reproduce(request: Request) -> Result:
    """Collect, learn and compare; a stopped run goes on."""
    config = presets()["smoke" if request.smoke else "full"]
    named = tuple(f"metaworld/{task.removeprefix('metaworld/')}" for task in request.tasks)
    config = replace(
        config,
        tasks=named or config.tasks,
        episodes=request.episodes or config.episodes,
        seeds=request.seeds or config.seeds,
        encoder=request.encoder,
        device=request.device,
    )
    rows = demonstrated.measure(config, request.folder, request.processes)
    about = {**asdict(config), "labels": LABELS}
    return make_result("metaworld", about, "first-success", rows, demonstrated.successes(rows))
