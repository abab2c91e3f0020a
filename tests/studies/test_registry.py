"""Studies by name: every one can be loaded, asked for, and refused in a sentence."""

from __future__ import annotations

import importlib
import sys

import pytest

from foresight import cli
from foresight.core import checkout
from foresight.core.errors import ForesightError
from studies.phases import PHASES
from studies.phases.learned import NEEDS
from studies.registry import PHASES as REGISTERED
from studies.registry import STUDIES, Request


def test_every_study_has_a_module_that_reproduces_it():
    for study in STUDIES.values():
        assert callable(study.load().reproduce), study.name
        assert study.about and study.presets[0] == "full"
    assert [study.name for study in REGISTERED] == [*PHASES, *NEEDS]
    assert [study.name for study in REGISTERED if not study.writes] == [*NEEDS]


def test_runs_and_results_lie_where_they_did():
    assert str(Request("phase-4b").folder) == "runs/phases"
    assert str(Request("phase-4b", "short").folder) == "runs/phases-short"
    assert str(Request("day37-drift", "smoke").folder) == "runs/ac-smoke"
    assert str(Request("teach").target) == "results/teach.json"
    assert str(Request("teach", "smoke").target) == "runs/teach-smoke/teach.json"


def test_without_a_name_the_studies_are_listed(capsys):
    assert cli.main(["reproduce"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in STUDIES)


def test_an_unknown_study_is_one_sentence(capsys):
    assert cli.main(["reproduce", "phase-4x"]) == 2
    assert "did you mean 'phase-4" in capsys.readouterr().err
    with pytest.raises(ForesightError, match="choose one of phase-1, "):
        Request("zzz").study  # noqa: B018


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (["reproduce", "--help"], "studies"),
        (["reproduce", "baselines"], "studies"),
        (["bench", "encoder"], "benchmarks"),
        (["report", "results", "--findings", "findings.md"], "studies"),
    ],
)
def test_an_installed_package_says_that_it_needs_a_checkout(
    words, folder, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(checkout, "ROOT", tmp_path / "lib" / "python3.11")
    for verb in ("reproduce", "bench", "report"):
        monkeypatch.delitem(sys.modules, f"foresight.cli.{verb}", raising=False)
    monkeypatch.setattr("studies.summary.write_results", lambda *_: [])
    (tmp_path / "results").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert f"The folder {folder} is part of the repository" in said
    assert "clone the repository" in said and said.count("\n") == 1


def test_the_verbs_come_back_in_a_checkout():
    for verb in ("reproduce", "bench"):
        assert importlib.import_module(f"foresight.cli.{verb}").Config
