"""The findings page comes from the result files and from nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.evaluation.results import make_result
from studies.findings import findings_page
from studies.sources import SOURCES

ROOT = Path(__file__).parents[2]
TASK = "reacher-easy"


def phase_4b(gain):
    """A result in which CEM earns ``gain`` more than random shooting, on every seed."""
    rows = [
        {
            "measure": "return-difference",
            "condition": "grid:cem minus grid:shooting",
            "task": TASK,
            "value": gain + 0.1 * seed,
        }
        for seed in range(5)
    ]
    return make_result("phase-4b", {}, "none", rows, command="foresight reproduce phase-4b")


@pytest.mark.parametrize(("gain", "words"), [(5, "Survives"), (-5, "Does not survive")])
def test_a_verdict_follows_the_measurement(gain, words, tmp_path):
    phase_4b(gain).save(tmp_path / "phase-4b.json")
    page = findings_page(tmp_path)
    (line,) = [line for line in page.splitlines() if "far better than random shooting.”" in line]
    assert f"**{words}**" in line and "n = 5" in line
    claims = len(SOURCES["phase-7"].claims)
    assert f"{claims} are not measured yet: `foresight reproduce phase-7`" in page
    left = len(SOURCES["phase-4b"].claims) - 1
    counts = "1 | 0 | 0" if gain > 0 else "0 | 1 | 0"
    assert f"| Phase 4b, CEM | {left} | {counts} |" in page


def test_baselines_decide_what_rests_on_them_alone(tmp_path):
    phase_4b(1).save(tmp_path / "phase-4b.json")
    entry = {"mean": 23.0, "low": 22.0, "high": 24.0, "n": 20}
    key = "constant/cartpole-swingup"
    rows = [{"measure": "x", "value": 0.0}]
    make_result("baselines", {}, "none", rows, {key: entry}).save(tmp_path / "baselines.json")
    (line,) = [one for one in findings_page(tmp_path).splitlines() if "Cartpole's 20.1" in one]
    assert "**Does not survive**" in line and "23.0 [22.0, 24.0]" in line


def test_files_of_other_experiments_decide_a_phase(tmp_path):
    measured = {"measure": "FULL-minus-SINGLE", "task": TASK}
    rows = [{**measured, "seed": seed, "value": 4.0 + 0.1 * seed} for seed in range(5)]
    made = make_result("ablation", {}, "seed200", rows, command="foresight reproduce ablation")
    made.save(tmp_path / "ablation.json")
    page = findings_page(tmp_path)
    (line,) = [one for one in page.splitlines() if "ensemble matters on reacher" in one]
    assert "**Survives**" in line and "n = 5" in line
    part = page.partition("## Phase 8, the ablation")[2].partition("## Phase 9")[0]
    assert "*Read* from `ablation.json`, made by `foresight reproduce ablation`" in part
    left = len(SOURCES["phase-8"].claims) - 1
    commands = "`foresight reproduce ablation`, `foresight reproduce baselines`"
    assert f"{left} are not measured yet: {commands}." in part


@pytest.fixture(scope="module")
def committed_page():
    """The page of this repository's results, made once."""
    return findings_page(ROOT / "results")


def test_every_phase_has_its_section(committed_page):
    page = committed_page
    for source in SOURCES.values():
        assert page.count(f"## {source.title}\n") == 1


def test_the_committed_page_is_what_the_command_writes(committed_page):
    assert (ROOT / "docs" / "findings.md").read_text() == committed_page


def test_the_command_writes_the_page(tmp_path):
    folder = tmp_path / "results"
    phase_4b(1).save(folder / "phase-4b.json")
    page = tmp_path / "findings.md"
    assert cli.main(["report", str(folder), "--findings", str(page)]) in (0, None)
    assert page.read_text() == findings_page(folder)


def test_a_folder_without_phases_is_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="no result of a phase"):
        findings_page(tmp_path)


def test_keys_name_a_task_and_conclusions_are_sentences():
    for source in SOURCES.values():
        assert source.claims and source.figures
        for item in (*source.claims, *source.figures):
            assert item.key.count("/") == 1 and "{" not in item.key
        assert all(claim.says.endswith(".") for claim in source.claims)
        assert len({claim.key + claim.says for claim in source.claims}) == len(source.claims)
