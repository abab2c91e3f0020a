"""``foresight data``: words, JSON and exit codes over the checks of the data room."""

from __future__ import annotations

import json
import sys
import types

import pytest

from foresight.cli import main
from foresight.data.check import Report


@pytest.fixture
def dataset(monkeypatch):
    """A stand-in for ``foresight.data.check`` over one dataset with a list of problems."""
    problems: list[str] = []
    module = types.ModuleType("foresight.data.check")
    module.info = lambda path: {"episodes": 3, "tasks": ["a", "b"], "render": {"size": 64}}
    module.examine = lambda path, decode: Report(list(problems), ["a note"])

    def repair(path):
        mended, problems[:] = list(problems), []
        return [f"mended {problem}" for problem in mended]

    module.repair = repair
    monkeypatch.setitem(sys.modules, "foresight.data.check", module)
    return problems


def test_info_in_words_and_in_json(dataset, capsys):
    assert main(["data", "info", "x"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["episodes     3", "tasks        a, b", "render.size  64"]
    assert main(["data", "info", "x", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["render"] == {"size": 64}


def test_check_ends_with_1_when_there_are_problems(dataset, capsys):
    assert main(["data", "check", "x"]) == 0
    assert capsys.readouterr().out == "note: a note\nx is sound.\n"
    dataset.append("a video is cut short")
    assert main(["data", "check", "x"]) == 1
    out = capsys.readouterr().out
    assert "problem: a video is cut short" in out and "foresight data repair x" in out


def test_repair_says_what_it_did(dataset, capsys):
    dataset.append("a video is cut short")
    assert main(["data", "repair", "x", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "actions": ["mended a video is cut short"],
        "problems": [],
        "notes": ["a note"],
    }


def test_unknown_action_is_a_parse_error(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["data", "destroy", "x"])
    assert stop.value.code == 2


def test_a_folder_that_is_no_dataset(tmp_path, capsys):
    assert main(["data", "info", str(tmp_path / "nothing")]) == 2
    error = capsys.readouterr().err
    assert "nothing" in error and "Traceback" not in error
