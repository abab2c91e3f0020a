"""Phases 8 and 9 read what is there and measure what is not."""

from __future__ import annotations

import pytest

from foresight import cli
from foresight.evaluation.results import load, make_result
from studies import command
from studies.phases import PHASES, learned

pytestmark = pytest.mark.slow

TASK = "reacher-easy"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ablation(path, gain):
    measured = {"measure": "FULL-minus-SINGLE", "task": TASK}
    rows = [{**measured, "seed": seed, "value": gain + 0.1 * seed} for seed in range(5)]
    make_result("ablation", {}, "seed200", rows, command="x").save(path)


def test_a_file_that_is_there_is_read_and_left_alone(here, capsys):
    path = here / "results" / "ablation.json"
    ablation(path, -3.0)
    before = path.read_bytes()
    assert cli.main(["reproduce", "phase-8"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "“The ensemble matters on reacher.” Does not survive" in printed
    assert "8 are not measured yet: `foresight reproduce ablation`" in printed
    assert "Of 1 conclusions put to the test, 0 survive, 1 does not" in printed
    assert "read: results/ablation.json" in printed
    assert path.read_bytes() == before and not (here / "runs").exists()


def test_what_is_missing_is_learned_and_measured_once(here, tiny_eyes, capsys, monkeypatch):
    words = ["reproduce", "phase-9", "--preset", "smoke", "--workers", "1", "--seeds", "1"]
    words += ["--encoder", tiny_eyes]
    assert cli.main(words) == 0
    folder = here / "runs" / "learned-smoke"
    for name in ("planning", "teach"):
        assert load(folder / f"{name}.json").tasks == [TASK]
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if f"{TASK}: taught" in line]
    assert len(lines) == 2 and not any(line.rstrip(" │").endswith("–") for line in lines)
    monkeypatch.setattr(learned.planning, "run", None)
    monkeypatch.setattr(learned.teach, "run", None)
    assert cli.main(words) == 0
    assert not (here / "results").exists()


def test_a_task_that_is_learned_is_not_learned_again(here, monkeypatch):
    (here / "models" / TASK).mkdir(parents=True)
    (here / "models" / TASK / learned.FINISHED).write_text("{}")
    asked = {}

    def planning(place, tasks):
        asked["learned"] = tasks

    def evidence(name, preset, folder, models, workers, seeds):
        asked["ablated"] = [model.name for model in models]
        return make_result(name, {}, "none", [{"measure": "x", "value": 0.0}], command="x")

    monkeypatch.setattr(learned, "_planning", planning)
    monkeypatch.setattr(learned.evidence, "run", evidence)
    place = learned.LearnedPlace(here / "results", here / "models", here / "runs")
    assert list(learned.answer("phase-8", place)) == ["ablation"]
    assert asked == {"learned": ("cartpole-swingup",), "ablated": [TASK, "cartpole-swingup"]}


def test_all_runs_every_phase_in_order(monkeypatch):
    done = []
    monkeypatch.setattr(command, "reproduce", lambda request: done.append(request.name))
    assert cli.main(["reproduce", "all"]) == 0
    assert done == [*PHASES, "phase-8", "phase-9"]


@pytest.mark.parametrize("name", ["phase-8", "all"])
def test_there_is_no_file_to_name(name, capsys):
    assert cli.main(["reproduce", name, "--out", "odd.json"]) == 2
    assert "writes no file of its own" in " ".join(capsys.readouterr().err.split())
