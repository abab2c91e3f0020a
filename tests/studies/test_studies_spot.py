"""The study of Spot's gait: strides that count, falls that count, and a small run of it."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.envs.spot.gait import GaitConfig
from spot_files import needs_spot
from studies import spot
from studies.registry import Request


def test_velocities_are_averaged_over_whole_strides():
    gait = GaitConfig(stride=0.08)  # four control steps
    ripple = np.array([[1.0, 0, 0], [-1, 0, 0], [2, 0, 0], [-2, 0, 0]] * 3 + [[9, 9, 9]])
    assert spot.stride_means(list(ripple + 0.5), gait) == pytest.approx(np.full((3, 3), 0.5))


def test_means_are_those_of_their_commands():
    def row(measure, task, kind, value):
        shared = {"condition": "gait", "seed": 0}
        return {"measure": measure, "task": task, "kind": kind, "value": value, **shared}

    rows = [
        row("error-left", f"c{i}", kind, v)
        for i, kind, v in ((0, "grid", 0.1), (0, "grid", 0.3), (1, "grid", 0.5), (2, "drawn", 0.9))
    ]
    found = spot.overall(
        [*rows, {"measure": "falls", "condition": "gait", "value": 3, "task": "s"}]
    )
    assert found["error-left/gait/grid"]["mean"] == pytest.approx(0.3)
    assert found["error-left/gait/drawn"]["mean"] == found["error-left/gait/worst"]["mean"] == 0.9
    assert set(found) == {f"error-left/gait/{kind}" for kind in ("grid", "drawn", "worst")}


@needs_spot
def test_a_run_tells_walking_from_standing(tmp_path):
    config = spot.SpotConfig(
        levels=(1.0,), drawn=0, seeds=1, settle=1.2, hold=1.0, switching=3.0, runs=1
    )
    result = spot.run(config)
    for move in ("forward", "left", "turn"):
        walks, stands = (
            result.summary[f"error-{move}/{name}/grid"]["mean"] for name in ("gait", "standing")
        )
        assert walks < 0.15
        assert stands > 0.45
    assert result.summary["upright/gait/grid"]["mean"] == 1
    assert result.summary["gait:falls/switching"]["n"] == 1
    assert spot.presets()["full"].runs > 1 and Request("spot", preset="smoke").smoke
