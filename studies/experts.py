"""Learn feedback laws that teach, from the simulator's state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from foresight.core.extras import require
from foresight.core.progress import console
from foresight.envs.dmc.tasks import canonical
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row
from foresight.experts.feedback.law import FeedbackLaw
from studies.registry import Request

require("stable_baselines3", "Learning feedback laws")
from studies.feedback.reinforce import ReinforceConfig, reinforce  # noqa: E402

PROTOCOL = "seed200"
SEARCHES: dict[str, ReinforceConfig] = {
    "cartpole-swingup": ReinforceConfig("cartpole-swingup", "dmc1000", steps=128_000),
    "walker-walk": ReinforceConfig("walker-walk"),
    "cheetah-run": ReinforceConfig("cheetah-run", steps=240_000),
    "finger-spin": ReinforceConfig("finger-spin", seed=1),
    "hopper-hop": ReinforceConfig("hopper-hop", steps=120_000, shaped=1.0),
    "cup-catch": ReinforceConfig("cup-catch", shaped=1.0),
}
"""What the laws in the package come from."""


def presets() -> dict[str, dict[str, ReinforceConfig]]:
    """The named sizes."""
    tiny = ReinforceConfig(
        steps=1_600, random=800, hidden=8, critic=8, batch=16, starts=3, measured=2, every=1_600
    )
    return {"full": SEARCHES, "smoke": {"walker-walk": tiny}}


def reproduce(request: Request) -> Result:
    """Search for all laws."""
    return run(presets()[request.preset], (), request.folder)


def run(searches: dict[str, ReinforceConfig], tasks: Sequence[str], folder: Path) -> Result:
    """Learn a law for each task; a law that is in the folder already is not learned again.

    Args:
        searches: sizes by task.
        tasks: which of them; all if empty.
        folder: laws are written there, ``TASK.json``.

    Rows: ``law-return``, ``law-return@<protocol>`` of a law that was searched for in another one,
    and ``search-steps``.
    """
    rows: list[Row] = []
    names = [canonical(task) for task in tasks] or list(searches)
    for name in names:
        config = replace(searches.get(name, ReinforceConfig()), task=name)
        path = folder / f"{name}.json"
        law = FeedbackLaw.load(path) if path.exists() else None
        if law is None or law.origin["config"] != asdict(config):
            law = reinforce(config)
            law.save(path)
        console.print(f"{name}: return {law.origin['return']:.1f}")
        where = "" if config.protocol == PROTOCOL else f"@{config.protocol}"
        rows += [
            {"measure": f"law-return{where}", "task": name, "value": law.origin["return"]},
            {"measure": "search-steps", "task": name, "value": config.steps},
        ]
    settings = {name: asdict(searches.get(name, ReinforceConfig())) for name in names}
    return make_result("experts", settings, PROTOCOL, rows)
