"""The study from start to end at a size that takes seconds, and twice without doing it twice."""

from __future__ import annotations

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.evaluation.results import load
from foresight.evaluation.statistics import wilson_interval
from studies.lewm import study

TASK = "tworoom:point"


@pytest.mark.slow
def test_it_runs_and_nothing_is_done_twice(tmp_path, monkeypatch):
    line = ["reproduce", "lewm", "--preset", "smoke", "--workers", "1", "--run", str(tmp_path)]
    assert cli.main(line) == 0
    result = load(tmp_path / "lewm.json")
    wanted = {"lewm", "lewm-published-search", "inverse", "expert", "random", "zero"}
    wanted |= {"lewm-published-objective", "exact-model", "exact-model-judged-at-the-end"}
    assert set(result.conditions) == wanted and result.tasks == [TASK]
    for name in ("success", "random", "inverse", "expert"):
        assert result.summary[f"{name}/{TASK}"]["n"] == 2
    assert result.summary[f"ms-per-plan/{TASK}"]["mean"] > 0
    for name in ("lewm", "lewm-published-objective"):
        assert result.summary[f"rank-{name}/{TASK}"]["mean"] >= 1
        assert result.summary[f"place-r2-y-{name}/{TASK}"]["mean"] < 1
    model = tmp_path / "tworoom-point" / "lewm"
    assert (
        cli.main(
            [
                "evaluate",
                str(model),
                "--seeds",
                "1",
                "--steps",
                "6",
                "--baselines",
                "zero",
                "--lewm.samples",
                "8",
                "--lewm.elites",
                "2",
                "--lewm.iterations",
                "1",
            ]
        )
        == 0
    )
    assert load(model / "evaluation.json").conditions == ["lewm", "zero"]
    data, out = str(tmp_path / "tworoom-point" / "data"), tmp_path / "drift"
    words = ["drift", data, "--model", str(model), "--horizons", "1", "2", "--out", str(out)]
    assert cli.main(words) == 0
    assert "cosine-centred-open/h2" in load(out / "drift.json").summary
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    monkeypatch.setattr("foresight.training.loop._epoch", None)
    monkeypatch.setattr("foresight.rollout.collect._append", None)
    assert cli.main(line) == 0


def test_rates_are_wilsons_and_times_are_means():
    rows = [
        {"task": "t", "condition": name, "seed": seed, "success": done, "ms_per_plan": 10.0 * seed}
        for name, each in (("lewm", (1, 1, 0)), ("random", (0, 0, 1)), ("zero", (0, 0, 0)))
        for seed, done in enumerate(each)
    ]
    found = study.rates(rows)
    assert found["success/t"] == wilson_interval(2, 3).as_dict()
    assert found["random/t"] == wilson_interval(1, 3).as_dict()
    assert found["ms-per-plan/t"]["mean"] == 10.0
    assert "zero/t" not in found


def test_unknown_tasks_are_refused(tmp_path):
    with pytest.raises(ForesightError, match="push/puck"):
        study.run(study.LeWMStudyConfig(tasks=("reacher-easy",)), tmp_path)
