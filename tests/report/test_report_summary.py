"""The Markdown tables of a results folder and of a README."""

import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation.results import make_result
from foresight.report.summary import BEGIN, END, readme_block, write_results


def result(name, returns, **config):
    rows = [
        {
            "task": "reacher-easy",
            "condition": condition,
            "seed": seed,
            "return": value,
            "success": value > 150,
            "length": 200,
            "git": "0" * 40,
            "config_hash": "0" * 16,
            "simulator": "mujoco",
        }
        for condition, values in returns.items()
        for seed, value in enumerate(values)
    ]
    return make_result(name, config, "seed200", rows)


def test_tables_come_from_the_files_and_stand_beside_the_sources(tmp_path):
    source = {"return (one episode)": 6.0}
    phase = result("phase-4b", {"cem": [10.0, 20.0]}, source=source, headline="cem")
    phase.save(tmp_path / "phase-4b.json")
    result("planning", {"zero": [1.0, 3.0]}).save(tmp_path / "planning.json")
    readme = tmp_path / "page.md"
    readme.write_text(f"before\n{BEGIN}\nSTALE\n{END}\nafter\n")
    write_results(tmp_path, readme)
    page = (tmp_path / "README.md").read_text()
    assert "## phase-4b.json" in page and "15.0 [10.0, 20.0]" in page
    assert "To compare with: return (one episode) 6." in page
    text = readme.read_text()
    assert "STALE" not in text and "2.00 [1.00, 3.00]" in text
    assert text.startswith("before\n") and text.endswith("after\n")
    assert readme_block(tmp_path) in text


def test_no_results_and_no_markers_are_one_sentence(tmp_path):
    with pytest.raises(ForesightError, match="no result files"):
        write_results(tmp_path)
    result("baselines", {"zero": [1.0, 3.0]}).save(tmp_path / "baselines.json")
    readme = tmp_path / "page.md"
    readme.write_text("nothing")
    with pytest.raises(ForesightError, match="lacks the line"):
        write_results(tmp_path, readme)
