"""Recipe ``calibration``: do learned ensembles know where they err?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

from foresight.core.progress import console
from foresight.evaluation.results import Result, make_result
from foresight.evaluation.statistics import Row, Summary
from foresight.planning.config import MPCConfig
from studies.ensemble_errors.calibration import HORIZONS, calibrate
from studies.ensemble_errors.held_out import HeldOutConfig
from studies.learned import Learned, named


@dataclass(frozen=True)
class CalibrationConfig:
    """On which episodes, how far ahead."""

    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    """Fresh episodes."""
    search: MPCConfig = field(default_factory=MPCConfig)
    """The planner that acts in them, and that β is for."""
    horizons: tuple[int, ...] = HORIZONS
    """Decisions ahead."""


def presets() -> dict[str, CalibrationConfig]:
    """The named sizes."""
    full = CalibrationConfig()
    few = HeldOutConfig(episodes=4, parallel=4, length=40)
    return {"full": full, "smoke": replace(full, held_out=few, search=SMALL)}


SMALL = MPCConfig(samples=16, elites=4, iterations=2, prior_samples=4)
"""The search of smoke runs."""


def run(config: CalibrationConfig, learned: Sequence[Learned]) -> Result:
    """Calibrate every learned ensemble on episodes of its own.

    Rows and summary (see `Calibration`), with intervals over episodes: ``spearman-h<k>/<task>``,
    ``spearman-path-h<k>``, ``spearman-within-h<k>``, ``spearman-movement-h<k>``, ``ratio-h<k>``,
    ``error-h<k>``, ``persistence-h<k>``; the members' ``weight-cosine``; and `planning_beta` as
    ``beta`` for whitened disagreement and ``beta-raw`` for `MPCConfig.uncertainty_penalty`.

    Raises:
        ForesightError: a model of one member, or of other eyes.
    """
    rows: list[Row] = []
    summary: Summary = {}
    for one in learned:
        console.print(f"[bold]{one.task}[/]: calibrate")
        episodes = one.held_out(config.held_out, config.search)
        model = one.model
        found = calibrate(model.dynamics, episodes, config.horizons, one.grounds.whiten)
        rows += found.rows(one.task)
        summary |= found.summary(one.task)
        for name, raw in (("beta", False), ("beta-raw", True)):
            beta = one.beta(episodes, config.search, raw)
            rows.append({"measure": name, "task": one.task, "value": beta.mean})
            summary[f"{name}/{one.task}"] = beta.as_dict()
    models = named(learned)
    settings = {**asdict(config), "models": models}
    return make_result("calibration", settings, config.held_out.protocol, rows, summary)
