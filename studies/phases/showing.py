"""Phase 7: the sources' score (goal, reward, disagreement) with ensembles, on three tasks.

What is shown is the best frame of a demonstration, of the same scene (faithful) or of another one
(shifted). Following a whole demonstration is a matter of its own.
"""

from __future__ import annotations

from dataclasses import replace

from foresight.evaluation.statistics import Row, Summary
from foresight.experts import has_expert
from foresight.pipelines.planners import PlannerConfig
from studies.phases.common import Measured, Place
from studies.phases.ensembles import BEHAVIOURS, LABEL, ensemble
from studies.phases.rows import removed_shares, return_differences

REWARD_WEIGHT, DISAGREEMENT = 5.0, 2.0
"""α and β of the sources."""
ELSEWHERE = (1000, 1001, 1002)
"""Seeds of the three demonstrations that are shown in other scenes, as many as the sources had."""


def phase_7(place: Place) -> Measured:
    """Faithful and shifted in the first view, faithful in the others."""
    rows: list[Row] = []
    summary: Summary = {}
    for task in BEHAVIOURS:
        found = _task(place, task)
        summary |= removed_shares(found, task)
        found += place.rivals(task)
        best = "constant" if any(row["condition"] == "constant" for row in found) else "zero"
        conditions = dict.fromkeys(row["condition"] for row in found if ":" in row["condition"])
        for condition in conditions:
            for rival in dict.fromkeys((best, "zero")):
                summary |= return_differences(found, task, condition, rival)
        rows += found
    return Measured(rows, summary)


def source_score(planner: PlannerConfig, task: str, seeds: tuple[int, ...]) -> PlannerConfig:
    """α R - distance to the goal - β disagreement.

    Every future is imagined by five members, so a quarter of the usual number has to do.
    """
    return replace(
        planner,
        samples=planner.samples // 2,
        elites=max(2, planner.elites // 2),
        iterations=max(1, planner.iterations // 2),
        uncertainty_penalty=DISAGREEMENT,
        objective="both",
        reward_weight=REWARD_WEIGHT,
        goal="expert" if has_expert("expert", task) else "oracle",
        goal_seeds=seeds,
    )


def _task(place: Place, task: str) -> list[Row]:
    rows: list[Row] = []
    for view in place.views:
        ensemble(place, view, task)
        shown: dict[str, tuple[int, ...]] = {"faithful": ()}
        if view == place.views[0]:
            shown["shifted"] = ELSEWHERE
        for name, seeds in shown.items():
            planner = source_score(place.config.planner, task, seeds)
            rows += place.act(view, LABEL, planner, f"{view.name}:{name}", task)
    return rows
