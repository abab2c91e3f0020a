"""Calibration, ablation, cost and the field's protocol, through the command line."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.machine import machine
from foresight.evaluation.results import load, make_result
from foresight.evaluation.statistics import paired_difference, returns_by_seed
from studies import ablation, cost, dmc1000, evidence
from studies.ensemble_errors import calibration as measured
from studies.ensemble_errors.held_out import HeldOutConfig
from studies.learned import find_learned

pytestmark = pytest.mark.slow

TASK = "point_mass-easy"
SHORT = HeldOutConfig(episodes=2, parallel=2, length=24)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(measured, "RESAMPLES", 20)


def reproduce(name, run, *words):
    line = ["reproduce", name, "--preset", "smoke", "--run", str(run), "--workers", "1", *words]
    assert cli.main(line) == 0
    return load(run / f"{name}.json")


def test_calibration_of_a_learned_folder(tiny_learned, tmp_path):
    words = ("--learned", str(tiny_learned), "--episodes", "2")
    result = reproduce("calibration", tmp_path, *words)
    keys = [f"spearman-h{h}/{TASK}" for h in range(1, 9)] + [f"beta/{TASK}"]
    assert set(keys) <= set(result.summary)
    assert result.summary[f"spearman-within-h3/{TASK}"]["n"] == 2
    assert result.protocol == "seed200" and TASK in result.config["models"]


def test_ablation_pairs_its_seeds_and_resumes(tiny_learned, tmp_path, monkeypatch):
    learned = find_learned([tiny_learned.parent], tmp_path)
    config = replace(ablation.presets()["smoke"], held_out=SHORT, steps=4)
    result = ablation.run(config, learned)
    conditions = {"FULL", "SINGLE", "NO_UNCERT", "NO_REWARD", "NO_TRUST", "PRIOR", "zero", "random"}
    assert conditions == set(result.conditions)
    full, single = (returns_by_seed(result.rows, TASK, name) for name in ("FULL", "SINGLE"))
    expected = paired_difference(list(full.values()), list(single.values())).as_dict()
    assert result.summary[f"FULL-minus-SINGLE/{TASK}"] == expected
    assert result.summary[f"beta/{TASK}"]["mean"] > 0 and f"goal-reward/{TASK}" in result.summary
    before = (tmp_path / TASK / "rows.jsonl").read_text()
    again = ablation.run(config, find_learned([tiny_learned], tmp_path))
    assert (tmp_path / TASK / "rows.jsonl").read_text() == before
    assert again.summary == result.summary
    with pytest.raises(ForesightError, match="Unknown variant"):
        ablation.run(replace(config, variants=("FULL", "ODD")), learned)


def log(folder, *rows):
    folder.mkdir(parents=True)
    lines = [json.dumps({"step": i + 1, **row}) for i, row in enumerate(rows)]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")


def seconds(collect, learn):
    return {"seconds/collect": collect, "seconds/learn": learn}


def planning(path, evaluate, decision_ms=2.0):
    episode = {"task": TASK, "condition": "mpc", "seed": 0, "return": 1.0, "success": False}
    episode |= {"length": 500, "git": "x", "config_hash": "0" * 16, "simulator": "s"}
    rows = [episode | {"decision_ms": decision_ms}]
    rows += [{"measure": "seconds:evaluate", "task": TASK, "value": evaluate}]
    rows += [{"measure": "peak-gib", "task": TASK, "value": 1.5}]
    make_result("planning", {}, "seed200", rows, command="x").save(path)


def test_seconds_of_a_resumed_run_add_up(tmp_path):
    model = tmp_path / TASK / "model"
    log(model, seconds(3, 1), seconds(5, 4), seconds(2, 1) | {"steps": 640})
    planning(tmp_path / "planning.json", evaluate=7.0)
    found = cost.cost_of(model, TASK)
    assert found.seconds == {"collect": 7, "learn": 5, "evaluate": 7}
    assert found.peaks == {"process": 1.5} and found.steps == 640
    assert {row["measure"]: row["value"] for row in found.rows(TASK)}["seconds:total"] == 19
    assert found.notes == ["encoding was not timed apart and is part of collect."]


def test_stages_that_are_logged_apart_are_told_apart(tmp_path):
    model = tmp_path / TASK / "model"
    log(model, {"seconds/encode": 2.0, "peak-gib/learn": 0.4}, {"peak-gib/learn": 0.7})
    found = cost.cost_of(model, TASK)
    assert found.seconds == {"encode": 2.0} and found.peaks == {"learn": 0.7}
    (note,) = found.notes
    assert note.startswith("neither seconds.json nor planning.json lies beside the run")


def test_parts_of_a_stage_are_told_but_not_counted_twice(tmp_path):
    model = tmp_path / TASK / "model"
    parts = {"seconds/collect/encode": 2.0, "seconds/learn/study": 3.0, "peak-gib/learn/study": 1.0}
    log(model, seconds(4, 1) | parts, seconds(6, 5) | parts)
    (model.parent / "seconds.json").write_text(
        json.dumps({"learn": 99.0, "evaluate": 7.0, "inverse": 2.0, "learn-learn": 5.0})
    )
    found = cost.cost_of(model, TASK)
    rows = {row["measure"]: row["value"] for row in found.rows(TASK)}
    assert rows["seconds:collect:encode"] == 2 and rows["seconds:learn:study"] == 3
    assert rows["peak-gib:learn:study"] == 1
    assert rows["seconds:evaluate"] == 7 and rows["seconds:inverse"] == 2
    assert rows["seconds:total"] == 6 + 5 + 7 + 2 and found.notes == []


def test_an_evaluation_that_only_read_rows_is_told_by_its_decisions(tmp_path):
    model = tmp_path / TASK / "model"
    log(model, seconds(1, 1))
    planning(tmp_path / "planning.json", evaluate=0.001, decision_ms=20.0)
    found = cost.cost_of(model, TASK)
    assert found.seconds["evaluate"] == pytest.approx(10)
    assert any("only read finished episodes" in note for note in found.notes)


def test_cost_names_the_machine(tiny_learned, tmp_path):
    result = evidence.run("cost", "full", tmp_path, [tiny_learned])
    assert result.summary[f"seconds:learn/{TASK}"]["mean"] > 0
    assert result.summary[f"seconds:collect:encode/{TASK}"]["mean"] > 0
    assert result.summary[f"peak-gib:learn:update/{TASK}"]["mean"] > 0
    assert result.config["machine"] == machine()
    assert result.config["machine"]["cores"] >= 1 and result.config["machine"]["threads"] == 1


def test_the_fields_protocol_has_a_curve_and_goes_on(tmp_path, tiny_eyes):
    words = ("--seeds", "1", "--encoder", tiny_eyes)
    result = reproduce("dmc1000", tmp_path, *words)
    assert result.protocol == "dmc1000" and "mpc/reacher-easy" in result.summary
    points = [row for row in result.rows if row.get("measure") == "curve"]
    assert [row["frames"] for row in points] == [160, 320]
    shown, said = (
        result.summary[f"{name}/reacher-easy"]["mean"]
        for name in ("demonstrations", "taught-decisions")
    )
    learnt = result.config["learnt"]["reacher-easy"]
    assert learnt["encoder"] == tiny_eyes
    assert shown == learnt["demonstrations"] and said >= 20 * shown
    table = list(csv.DictReader((tmp_path / "dmc1000.csv").read_text().splitlines()))
    assert {"Foresight", "TD-MPC2", "DreamerV3"} <= {row["method"] for row in table}
    before = (tmp_path / "reacher-easy" / dmc1000.CURVE).read_text()
    again = reproduce("dmc1000", tmp_path, *words)
    assert (tmp_path / "reacher-easy" / dmc1000.CURVE).read_text() == before
    assert again.summary["mpc/reacher-easy"] == result.summary["mpc/reacher-easy"]
    # A task that is learned later joins the others in the file and in the table.
    both = reproduce("dmc1000", tmp_path, *words, "--tasks", "cup-catch")
    assert both.tasks == ["reacher-easy", "cup-catch"] and list(both.config["learnt"]) == [
        "cup-catch"
    ]
    assert both.summary["mpc/reacher-easy"] == result.summary["mpc/reacher-easy"]
    joined = list(csv.DictReader((tmp_path / "dmc1000.csv").read_text().splitlines()))
    assert {row["task"] for row in joined} == {"reacher-easy", "cup-catch"}
    assert [row for row in joined if row["task"] == "reacher-easy"] == table


def test_a_model_learned_elsewhere_acts_in_the_fields_protocol(tiny_learned, tmp_path):
    words = ("--learned", str(tiny_learned))
    result = reproduce("dmc1000", tmp_path, *words)
    assert result.protocol == "dmc1000" and result.tasks == [TASK]
    returns = returns_by_seed(result.rows, TASK, "mpc")
    assert sorted(returns) == [0, 1] and "random" in result.conditions
    assert list(result.config["models"]) == [TASK] and "learnt" not in result.config
    frames = result.summary[f"environment-frames/{TASK}"]["mean"]
    table = list(csv.DictReader((tmp_path / "dmc1000.csv").read_text().splitlines()))
    assert [(row["method"], int(row["frames"])) for row in table] == [("Foresight", frames)]
    assert float(table[0]["return"]) == pytest.approx(sum(returns.values()) / 2, abs=0.01)
    before = (tmp_path / TASK / "rows.jsonl").read_text()
    reproduce("dmc1000", tmp_path, *words)
    assert (tmp_path / TASK / "rows.jsonl").read_text() == before


def test_folders_are_found_in_every_form_and_refused_if_empty(tiny_learned, tmp_path, capsys):
    for folder in (tiny_learned / "model", tiny_learned, tiny_learned.parent):
        (one,) = find_learned([folder], tmp_path)
        assert one.task == TASK and one.checkpoint == tiny_learned / "model"
    with pytest.raises(ForesightError, match="have both learned"):
        find_learned([tiny_learned, tiny_learned.parent], tmp_path)
    words = ["reproduce", "cost", "--learned", str(tmp_path / "none"), "--run", str(tmp_path)]
    assert cli.main(words) == 2
    assert "holds no learned model" in capsys.readouterr().err
