"""A stranger's road by public names alone: their robot, from raw to judged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import foresight
from foresight import cli

ENV = "fake_robot:FakeRobot"
"""Two cameras, early endings, no simulator to look into: see tests/helpers/fake_robot.py."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_robot_of_ones_own(here, tiny_eyes, capsys):
    assert cli.main(["envs", "check", ENV]) == 0
    recorded = foresight.collect(ENV, ["ar1:0.9", "zero"], 10, "recordings")
    assert recorded.spec.difference(foresight.Spec(**vars(recorded.spec))) is None
    assert set(recorded.spec.cameras) == {"front", "wrist"}
    assert max(recorded.lengths) == 40
    assert any(recorded.episode(i).terminated for i in range(10))
    assert cli.main(["data", "check", "recordings"]) == 0
    assert cli.main(["encode", "recordings", "--encoder", tiny_eyes]) == 0
    model = foresight.train("recordings", "world-model", "runs/model", encoder=tiny_eyes, epochs=1)
    assert {camera.name for camera in model.config.cameras} == {"front", "wrist"}
    foresight.train(recorded, "bc", "runs/cloned", encoder=tiny_eyes, epochs=1)
    assert cli.main(["drift", "recordings", "--model", "runs/model"]) == 0
    result = foresight.evaluate("runs/cloned", ENV, episodes=2, out="runs/result.json", name="mine")
    assert {"mine", "zero", "random"} <= set(result.conditions)
    assert np.isfinite([row["return"] for row in result.rows]).all()
    kept = json.loads(Path("runs/result.json").read_text())
    assert kept["summary"][f"mine/{result.tasks[0]}"]["n"] == 2
    planned = foresight.evaluate("runs/model", ENV, episodes=1, baselines=(), max_steps=2)
    assert len(planned.rows) == 1
    capsys.readouterr()
    assert cli.main(["evaluate", "runs/cloned", "--env", "reacher-easy"]) == 2
    assert "do not fit" in capsys.readouterr().err
