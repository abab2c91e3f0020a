from dataclasses import replace
from pathlib import Path

import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation.merge import beside, earlier
from foresight.evaluation.results import Result, load, make_result, validate


def measured(command: str, protocol: str = "seed200", **returns: float) -> Result:
    """A result of some tasks, the return of each."""
    rows = []
    for task, value in returns.items():
        rows += [
            {
                "task": task,
                "condition": "mpc",
                "seed": seed,
                "return": value + seed,
                "success": False,
                "length": 200,
                "git": "a" * 40,
                "config_hash": "0123456789abcdef",
                "simulator": "mujoco 3.3.2",
            }
            for seed in range(3)
        ]
        rows.append({"measure": "frames", "task": task, "value": value})
    return make_result("planning", {"said": command}, protocol, rows, command=command)


def test_tasks_measured_again_replace_their_own_and_the_others_stay():
    before = measured("first", reacher=10.0, cup=20.0, walker=30.0)
    merged = beside(measured("second", cup=50.0, hopper=5.0), before)
    validate(vars(merged))
    assert merged.tasks == ["reacher", "cup", "walker", "hopper"]
    means = {task: merged.summary[f"mpc/{task}"]["mean"] for task in merged.tasks}
    assert means == {"reacher": 11.0, "cup": 51.0, "walker": 31.0, "hopper": 6.0}
    assert {row["value"] for row in merged.rows if "measure" in row} == {10.0, 50.0, 30.0, 5.0}
    assert merged.command == "second" and merged.config["said"] == "second"
    (kept,) = merged.config["kept"]
    assert kept["tasks"] == ["reacher", "walker"]
    assert (kept["command"], kept["config"], kept["git"]) == (
        "first",
        {"said": "first"},
        before.git,
    )


def test_what_is_summed_up_after_so_many_frames_stays_with_its_task():
    before = measured("first", reacher=1.0, cup=2.0)
    told = {f"mpc-minus-prior/{task}@100": {"mean": 1.0} for task in ("reacher", "cup")}
    before = replace(before, summary=before.summary | told)
    merged = beside(measured("second", cup=5.0), before)
    assert "mpc-minus-prior/reacher@100" in merged.summary
    assert "mpc-minus-prior/cup@100" not in merged.summary


def test_what_is_told_of_tasks_that_are_named_by_their_horizon_stays_with_them():
    horizons = {"cup@h5": 1.0, "walker@h5": 2.0}
    before = measured("first", **horizons)
    told = {f"skill/{task}": {"mean": 0.5} for task in horizons}
    before = replace(before, summary=before.summary | told)
    merged = beside(measured("second", **{"walker@h5": 3.0}), before)
    assert "skill/cup@h5" in merged.summary and "skill/walker@h5" not in merged.summary


def test_where_a_task_comes_from_survives_a_third_run():
    second = beside(measured("second", cup=5.0), measured("first", reacher=1.0, walker=3.0))
    third = beside(measured("third", walker=7.0), second)
    assert [(run["command"], run["tasks"]) for run in third.config["kept"]] == [
        ("first", ["reacher"]),
        ("second", ["cup"]),
    ]
    assert all("kept" not in run["config"] for run in third.config["kept"])


def test_nothing_is_kept_where_all_is_measured_again():
    result = measured("second", cup=5.0, walker=1.0)
    assert beside(result, measured("first", cup=1.0)) == result == beside(result, None)


def test_another_experiments_file_is_refused_before_anything_runs(tmp_path: Path):
    path = tmp_path / "planning.json"
    assert earlier(path, "planning", "seed200") is None
    measured("first", cup=1.0).save(path)
    assert earlier(path, "planning", "seed200") == load(path)
    for name, protocol in (("teach", "seed200"), ("planning", "dmc1000")):
        with pytest.raises(ForesightError, match="remove it, or give another --out"):
            earlier(path, name, protocol)
