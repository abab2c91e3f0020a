"""Entries of other experiments' files, and differences made from their episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation.results import load, make_result
from foresight.evaluation.statistics import TRIVIAL
from studies.readings import Readings, missing_commands
from studies.sources import SOURCES
from studies.sources.learned import TRIVIAL as BEST

RESULTS = Path(__file__).parents[2] / "results"
TASK = "walker-walk"
SHIFTED = f"teach:start-shifted minus faithful:return-difference/{TASK}"


def episodes(condition, returns, task=TASK):
    return [
        {
            "task": task,
            "condition": condition,
            "seed": seed,
            "return": value,
            "success": False,
            "length": 200,
            "git": "x",
            "config_hash": "0" * 16,
            "simulator": "s",
        }
        for seed, value in enumerate(returns)
    ]


def save(folder, name, rows, protocol="seed200"):
    make_result(name, {}, protocol, rows, command="x").save(folder / f"{name}.json")


def about(folder, name="phase-9"):
    return Readings(folder).about(name, SOURCES[name])


def test_differences_are_paired_by_seed(tmp_path):
    save(tmp_path, "teach", episodes("faithful", [1, 5, 9]) + episodes("start-shifted", [2, 7, 9]))
    known = about(tmp_path)
    entry = known[SHIFTED]
    assert entry["mean"] == pytest.approx(np.mean([1, 2, 0])) and entry["n"] == 3
    assert known[f"teach:faithful/{TASK}"]["mean"] == pytest.approx(5)
    assert f"faithful/{TASK}" not in known
    assert Readings(tmp_path).answers(SOURCES["phase-9"]) == ["teach"]


@pytest.mark.parametrize(("protocol", "found"), [("seed200", True), ("dmc1000", False)])
def test_a_trivial_condition_is_borrowed_from_baselines_of_the_same_protocol(
    protocol, found, tmp_path
):
    task = "reacher-easy"
    save(tmp_path, "teach", episodes("faithful", [10, 20], task))
    save(tmp_path, "baselines", episodes("zero", [4, 6, 100], task), protocol)
    entry = about(tmp_path, "phase-7").get(f"teach:faithful minus zero:return-difference/{task}")
    assert (entry is not None) == found
    if entry:
        assert entry["mean"] == pytest.approx(10) and entry["n"] == 2


def test_what_is_not_there_is_not_known(tmp_path):
    assert about(tmp_path) == {} and Readings(tmp_path).answers(SOURCES["phase-9"]) == []
    save(tmp_path, "teach", episodes("faithful", [1, 2]))
    assert SHIFTED not in about(tmp_path)
    (tmp_path / "planning.json").write_text("{}")
    with pytest.raises(ForesightError, match=r"planning\.json"):
        about(tmp_path)


def test_missing_conclusions_name_the_commands_that_decide_them():
    assert missing_commands("phase-9", SOURCES["phase-9"], {}) == [
        "foresight reproduce teach",
        "foresight reproduce baselines",
        "foresight learn --out results/planning.json",
        "foresight probe",
    ]
    assert missing_commands("phase-3", SOURCES["phase-3"], {}) == ["foresight reproduce phase-3"]


def test_the_best_trivial_condition_is_the_one_that_was_measured():
    summary = load(RESULTS / "baselines.json").summary
    for task, best in BEST.items():
        assert best == max(
            reversed(TRIVIAL), key=lambda condition: summary[f"{condition}/{task}"]["mean"]
        )


def test_what_is_read_has_the_files_name_and_nothing_else_has_one():
    files = {path.stem for path in RESULTS.glob("*.json")} | {"ablation"}
    for source in SOURCES.values():
        assert set(source.reads) <= files
        used = {key.partition(":")[0] for key in source.keys if ":" in key.partition("/")[0]}
        assert set(source.reads) == used & files
