"""Find feedback laws that teach, and measure them beside the trivial actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from foresight.envs.feedback.evolve import EvolveConfig, evolve
from foresight.envs.feedback.law import FeedbackLaw
from foresight.envs.tasks import canonical
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.progress import console

SEARCHES: dict[str, EvolveConfig] = {
    "cheetah-run": EvolveConfig("cheetah-run", generations=1000),
    "cup-catch": EvolveConfig("cup-catch", generations=600, hidden=24, shaped=1.0),
    "finger-spin": EvolveConfig("finger-spin", generations=300, pairs=64, shaped=3.0),
}
"""The searches behind the laws in the package."""


def presets() -> dict[str, dict[str, EvolveConfig]]:
    """The named sizes."""
    tiny = EvolveConfig(generations=2, pairs=2, starts=3, measured=2, every=1)
    return {"full": SEARCHES, "smoke": {"cheetah-run": tiny}}


def run(searches: dict[str, EvolveConfig], tasks: Sequence[str], folder: Path) -> Result:
    """Search a law for each task; a law that is in the folder already is not searched again.

    Args:
        searches: by task.
        tasks: which of them; all if empty.
        folder: laws are written there, ``TASK.json``.
    """
    rows: list[Row] = []
    names = [canonical(task) for task in tasks] or list(searches)
    for name in names:
        config = replace(searches.get(name, EvolveConfig()), task=name)
        path = folder / f"{name}.json"
        law = FeedbackLaw.load(path) if path.exists() else None
        if law is None or law.origin["config"] != asdict(config):
            law = evolve(config)
            law.save(path)
        console.print(f"{name}: return {law.origin['return']:.1f}")
        rows += [
            {"measure": "law-return", "task": name, "value": law.origin["return"]},
            {"measure": "search-steps", "task": name, "value": law.origin["environment_steps"]},
        ]
    settings = {name: asdict(searches.get(name, EvolveConfig())) for name in names}
    return make_result("experts", settings, "seed200", rows)
