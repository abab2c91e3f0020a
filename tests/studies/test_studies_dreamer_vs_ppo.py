"""The reduced Dreamer beside PPO, through the command line."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from foresight import cli
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference
from studies import dreamer_vs_ppo as study

TASK = "walker-walk"
WORDS = ["reproduce", "dreamer-vs-ppo", "--preset", "smoke", "--workers", "1"]
KINDS = (study.R2, study.RECONSTRUCTION, study.PPO)


@pytest.mark.slow
def test_all_learn_from_the_same_frames_and_nothing_twice(tmp_path, monkeypatch):
    line = [*WORDS, "--run", str(tmp_path)]
    assert cli.main(line) == 0
    result = load(tmp_path / "dreamer-vs-ppo.json")
    agents = {f"{kind}-{seed}" for kind in KINDS for seed in (0, 1)}
    assert set(result.conditions) == agents | {"zero", "random"}
    for kind in KINDS:
        each = [result.summary[f"{kind}-{seed}/{TASK}"]["mean"] for seed in (0, 1)]
        entry = result.summary[f"{kind}/{TASK}@320"]
        assert entry["mean"] == pytest.approx(np.mean(each)) and entry["n"] == 2
        assert result.summary[f"{kind}:curve@320/{TASK}"]["n"] == 2
        assert result.summary[f"{kind}:hours/{TASK}"]["mean"] > 0
    table = list(csv.DictReader((tmp_path / "dreamer-vs-ppo.csv").read_text().splitlines()))
    published = {
        (r["method"], r["input"], r["frames"]): r["return"] for r in table if "20" in r["source"]
    }
    assert published["DreamerV3", "state", "500000"] == "941"
    assert published["PPO", "pixels", "1000000"] == "84"
    assert [r["return"] for r in table if "claim" in r["source"]] == ["798", "310"]
    assert sum(r["source"] == "measured here" for r in table) == 6
    monkeypatch.setattr(study.DreamerTrainer, "_begin", None)
    monkeypatch.setattr(study.PPOTrainer, "_begin", None)
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "dreamer-vs-ppo.json").summary.keys() == result.summary.keys()


def test_agents_are_compared_by_their_learning_seed():
    config = replace(study.presets()["smoke"], agents=2, pixel_agents=1)
    earned = {"dreamer-r2-0": 5, "dreamer-r2-1": 7, "dreamer-reconstruction-0": 4,
              "dreamer-reconstruction-1": 4, "ppo-0": 1, "ppo-1": 2, "dreamer-r2-pixels-0": 3,
              "ppo-pixels-0": 2}  # fmt: skip
    rows = [
        {"task": TASK, "condition": name, "seed": seed, "return": float(value + seed)}
        for name, value in earned.items()
        for seed in range(3)
    ]
    found = study.compared(config, rows)
    assert found[f"dreamer-r2/{TASK}@320"]["mean"] == 7
    expected = paired_difference([6, 8], [2, 3]).as_dict()
    assert found[f"dreamer-minus-ppo/{TASK}@320"] == expected
    assert found[f"dreamer-minus-ppo-pixels/{TASK}@320"]["mean"] == 1
    assert f"r2-minus-reconstruction-pixels/{TASK}@320" not in found


def test_curves_have_the_same_points_for_all():
    config = replace(study.presets()["smoke"], frames=400, points=4)
    log = [{"decisions": d, "return": float(d)} for d in (20, 50, 90, 210)]
    assert study._curve(config, log) == [(100, 35.0), (200, 90.0), (400, 210.0)]


def test_the_sizes_that_were_asked_for():
    full, short = (study.presets()[name] for name in ("full", "short"))
    assert (full.frames, full.agents, short.frames, short.agents) == (500_000, 3, 60_000, 2)
    trainings = [study.Agent(kind, 1, TASK).training(full) for kind in full.kinds]
    assert {t.decisions for t in trainings} == {250_000} and {t.seed for t in trainings} == {1}
    assert [t.encoder for t in trainings] == ["", "", "", "foresight-small", "foresight-small"]
