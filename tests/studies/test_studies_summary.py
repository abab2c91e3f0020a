"""The Markdown tables of a results folder and of a README."""

import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation.results import make_result
from foresight.report.tables import Table, measurement_table
from studies.summary import (
    BEGIN,
    END,
    measurements_by_task,
    readme_block,
    turned,
    write_results,
)


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


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in row] for row in table.rows]


def test_measurements_and_conditions_can_stand_across() -> None:
    rows = [
        {"measure": "error", "task": task, "value": float(place + turn), "horizon": 1}
        for place, task in enumerate(("a-b", "c-d"))
        for turn in range(2 + place)
    ]
    rows.append({"measure": "cost", "task": "c-d", "value": 7.0})
    made = make_result("made", {}, "none", rows)
    table = measurements_by_task(made)
    assert table.columns == ("what", "n", "a-b", "c-d")
    assert [line[:2] for line in texts(table)] == [["error@1", "2–3"], ["cost", "1"]]
    assert texts(table)[1][2:] == ["–", "7.00"]
    flat = {(line[0], line[1]): line[3] for line in texts(measurement_table(made))}
    assert texts(table)[0][2:] == [flat["error@1", "a-b"], flat["error@1", "c-d"]]
    around = turned(table)
    assert around.columns == ("", "error@1", "cost")
    assert [line[0].text for line in around.rows] == ["n", "a-b", "c-d"]
    assert texts(turned(around)) == texts(table)
