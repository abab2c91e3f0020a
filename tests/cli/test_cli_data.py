"""``foresight data``: words, JSON and exit codes over the checks of the data room."""

from __future__ import annotations

import json
import sys
import types

import pytest

from demo_files import INSTRUCTION, NAME, LiberoFile
from foresight.cli import main
from foresight.data.check import Report
from foresight.data.dataset import Dataset


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


def test_import_brings_demonstrations_into_a_dataset(tmp_path, capsys):
    made = LiberoFile().write(tmp_path / NAME)
    words = ["data", "import", str(made), "--out", str(tmp_path / "out"), "--limit", "2"]
    assert main([*words, "--cameras", "agentview", "--codec", "h264", "--fps", "20"]) == 0
    out = capsys.readouterr().out
    assert "recorded after their row's action" in out and "2 episodes, 13 steps, 1 task" in out
    dataset = Dataset.open(tmp_path / "out")
    assert dataset.cameras == ["agentview"] and dataset.tasks == [INSTRUCTION]
    assert main(["data", "check", str(tmp_path / "out")]) == 0


def test_import_needs_a_folder_and_names_what_it_cannot_read(tmp_path, capsys):
    (tmp_path / "a.hdf5").write_bytes(b"something else")
    assert main(["data", "import", str(tmp_path)]) == 2
    assert "give --out" in capsys.readouterr().err
    assert main(["data", "import", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "a.hdf5 is no HDF5 file" in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_policy_is_trained_from_imported_demonstrations(tmp_path, capsys, tiny_eyes):
    made = LiberoFile([12, 15, 11], [0, 1, 2]).write(tmp_path / NAME)
    folder = str(tmp_path / "out")
    assert main(["data", "import", str(made), "--out", folder]) == 0
    assert main(["data", "check", folder, "--decode"]) == 0
    words = ["train", folder, "--out", str(tmp_path / "run"), "--policy", "chunk"]
    words += ["--encoder", tiny_eyes, "--chunk.fit.epochs", "1", "--chunk.fit.updates", "3"]
    assert main([*words, "--chunk.rotations", "3"]) == 0
    assert "blind" in capsys.readouterr().out
