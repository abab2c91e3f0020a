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
    assert task_config("pendulum-swingup").teacher is None


def test_the_main_road_leaves_a_result_a_page_and_a_film(tmp_path):
    folder = tmp_path / "run"
    words = ["run", "reacher-easy", "--preset", "smoke", "--out", str(folder), "--workers", "1"]
    assert cli.main(words) == 0
    result = load(folder / "result.json")
    assert result.name == "road-reacher-easy"
    assert {"mpc/reacher-easy", "zero/reacher-easy"} <= set(result.summary)
    assert "data:video/mp4;base64," in (folder / "report.html").read_text()
    weights = (folder / "model" / "model.safetensors").read_bytes()
    rows = (folder / "rows.jsonl").read_bytes()
    assert cli.main(words) == 0
    assert (folder / "model" / "model.safetensors").read_bytes() == weights
    assert (folder / "rows.jsonl").read_bytes() == rows
    assert cli.main(["run", "juggle"]) == 2
