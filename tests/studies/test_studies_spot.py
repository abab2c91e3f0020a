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


def test_the_worst_command_is_the_one_that_is_missed_most_on_the_mean():
    def row(command, value, condition="gait"):
        shared = {"task": "grid", "seed": 0, "measure": "error-left"}
        return {"condition": condition, "command": command, "value": value, **shared}

    rows = [row("a", 0.1), row("a", 0.7), row("b", 0.5), row("b", 0.5), row("c", 9.0, "standing")]
    rows.append({"measure": "falls", "condition": "gait", "value": 3, "task": "switching"})
    found = spot.worst(rows)
    assert set(found) == {"gait:error-left/worst", "standing:error-left/worst"}
    assert found["gait:error-left/worst"]["mean"] == pytest.approx(0.5)
    assert found["gait:error-left/worst"]["low"] == 0.5


@needs_spot
@pytest.mark.slow
def test_a_run_tells_walking_from_standing(tmp_path):
    config = spot.SpotConfig(
        levels=(1.0,), drawn=0, seeds=1, settle=1.2, hold=1.0, switching=3.0, runs=1
    )
    result = spot.run(config)
    for move in ("forward", "left", "turn"):
        walks, stands = (
            result.summary[f"{name}:error-{move}/grid"]["mean"] for name in ("gait", "standing")
        )
        assert walks < 0.15
        assert stands > 0.45
    assert result.summary["gait:upright/grid"]["mean"] == 1
    assert result.summary["gait:falls/switching"]["n"] == 1
    assert spot.presets()["full"].runs > 1 and Request("spot", preset="smoke").smoke
