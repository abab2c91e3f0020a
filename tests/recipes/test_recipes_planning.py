from __future__ import annotations

from foresight import cli
from foresight.evaluation.results import load
from foresight.recipes.planning import task_config


def test_smoke_run_learns_and_measures_beside_baselines(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["learn", "point_mass-easy", "--preset", "smoke", "--workers", "1"]
    assert cli.main(words) == 0
    result = load(tmp_path / "runs" / "planning" / "planning.json")
    assert {"mpc/point_mass-easy", "zero/point_mass-easy"} <= set(result.summary)
    assert result.protocol == "seed200"
    measures = {row["measure"] for row in result.rows if "measure" in row}
    assert {"training-return", "seconds:learn", "peak-gib"} <= measures
    before = (tmp_path / "runs/planning/point_mass-easy/rows.jsonl").read_text()
    assert cli.main(words) == 0  # nothing is run twice
    assert (tmp_path / "runs/planning/point_mass-easy/rows.jsonl").read_text() == before
    assert cli.main(["learn", "juggle"]) == 2
    assert "juggle" in capsys.readouterr().err


def test_tasks_with_a_goal_for_each_episode_learn_from_short_ones():
    assert task_config("reacher-easy").length == 40
    assert task_config("walker-walk", steps=7).steps == 7
