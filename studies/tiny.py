"""How a smoke run of a study learns by acting."""

from __future__ import annotations

from typing import Any

from foresight.pipelines.learn import presets

SIZES = (
    "length", "parallel", "representation_updates", "updates", "finetune_updates", "latent",
    "hidden", "members",
)  # fmt: skip
"""Those of `foresight learn` in a smoke run."""


def tiny_learning(final_trials: int) -> dict[str, Any]:
    """Changes to a task's own settings, so that learning takes seconds."""
    tiny = presets()["smoke"]
    sizes = {name: getattr(tiny.online, name) for name in SIZES}
    rest = {"random_episodes": 2, "trials_every": 0, "final_trials": final_trials}
    return {**sizes, **rest, "planner": tiny.planner}
