"""Planned against recorded displacement: does V-JEPA 2-AC know which way this arm has moved?"""

from __future__ import annotations

import torch
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.progress import track as progress
from foresight.diagnostics.drift import Track
from foresight.evaluation.statistics import Row
from foresight.perception.ac_predictor import ACPredictor
from foresight.perception.pose import WIDTH
from foresight.planning.ac import ACDynamics, ACPlannerConfig, TokenEnergy, ac_planner
from foresight.planning.objective import Objective

STILL = 1e-4
"""Metres: who moved less has no direction."""


def planned_displacement(
    predictor: ACPredictor,
    clip: Track,
    starts: int,
    config: ACPlannerConfig | None = None,
) -> list[Row]:
    """Plan from frames of a clip to the frames some steps later, and compare with what was done.

    The published planner on recorded pictures. A camera that the predictor cannot read shows
    itself here, before any arm moves: V-JEPA 2-AC was never told where the camera is (arXiv
    2506.09985, section 4.3).

    Args:
        predictor: of V-JEPA 2-AC.
        clip: with the poses of the gripper, as `ACForecaster.track` makes it.
        starts: frames to plan from, evenly spread.
        config: of the planner.

    Returns:
        Rows of the mean over the starts: ``planned-error``, metres between the planned and the
        recorded change of position, beside planning no motion (condition ``persistence``), and
        ``planned-cosine``, of their directions, where the gripper moved at all. The task is
        ``h<frames>``.

    Raises:
        ForesightError: a clip that is too short.
    """
    config = config or ACPlannerConfig()
    room = len(clip.inputs) - config.horizon
    if room < 1 or starts < 1:
        raise ForesightError(
            f"A clip of {len(clip.inputs)} frames cannot be planned in from {starts} of them over "
            f"{config.horizon} frames: give a longer one, and at least one start."
        )
    dynamics = ACDynamics(predictor)
    poses = clip.controls[:, WIDTH:]
    off, still, along = [], [], []
    for start in progress(
        torch.linspace(0, room - 1, min(starts, room)).round().long().tolist(), "plan"
    ):
        goal = Objective(TokenEnergy(clip.inputs[start + config.horizon]))
        now = dynamics.state(clip.inputs[start][None], poses[start][None])
        moved = ac_planner(dynamics, config).plan(now, goal).actions[0].sum(0)[:3]
        done = poses[start + config.horizon, :3] - poses[start, :3]
        off.append(float((moved - done).norm()))
        still.append(float(done.norm()))
        if still[-1] > STILL:
            along.append(float(functional.cosine_similarity(moved, done, dim=0)))
    task = f"h{config.horizon}"
    rows: list[Row] = [{"measure": "planned-error", "task": task, "value": sum(off) / len(off)}]
    rows += [{**rows[0], "value": sum(still) / len(still), "condition": "persistence"}]
    if along:
        rows += [{"measure": "planned-cosine", "task": task, "value": sum(along) / len(along)}]
    return rows
