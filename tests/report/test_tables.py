"""Tables say what the rows say."""

from __future__ import annotations

import io

from rich.console import Console

from foresight.evaluation.results import Result, make_result
from foresight.report.tables import (
    Cell,
    Table,
    config_table,
    episode_table,
    interval,
    measurement_table,
    number,
    overview_table,
    print_result,
    provenance_table,
    to_markdown,
)


def row(task: str, condition: str, seed: int, value: float, **more: object) -> dict:
    return {
        "task": task,
        "condition": condition,
        "seed": seed,
        "return": value,
        "success": value > 150,
        "length": 200,
        "git": "unknown",
        "config_hash": "0" * 16,
        "simulator": "mujoco 3.3.2",
        **more,
    }


def result() -> Result:
    rows = [row("a-b", "zero", seed, 10.0) for seed in range(3)]
    rows += [row("a-b", "planner:x", s, 160.0 + s, decision_ms=2.5) for s in range(3)]
    rows += [row("a-b", "worse", s, 4.0) for s in range(3)]
    rows += [row("c-d", "zero", 0, 1.0)]
    rows += [{"measure": "error", "condition": "model", "horizon": 2, "task": "a-b", "value": 0.5}]
    return make_result("x", {"a": {"b": 1, "c": [2]}, "d": None}, "seed200", rows)


def texts(table: Table) -> list[list[str]]:
    return [[cell.text for cell in line] for line in table.rows]


def test_episode_table() -> None:
    table = episode_table(result())
    lines = texts(table)
    assert lines[1] == [
        "",
        "planner:x",
        "3",
        "161.0 [160.0, 162.0]",
        "100 % [44, 100]",
        "+151.0 [150.0, 152.0] vs zero",
        "2.50",
    ]
    assert lines[0][:2] == ["a-b", "zero"] and lines[0][5] == "–"
    assert lines[2][5] == "−6.00 [−6.00, −6.00] vs zero"
    tones = [line[5].tone for line in table.rows]
    assert tones == ["muted", "good", "bad", "muted"]
    assert lines[3] == ["c-d", "zero", "1", "1.00", "0 %", "–", "–"]  # one episode: no interval
    assert all(len(line) == len(table.columns) for line in lines)


def test_overview_marks_the_best_and_leaves_gaps() -> None:
    table = overview_table(result())
    assert table.columns == ("task", "zero", "planner:x", "worse")
    assert [cell.tone for cell in table.rows[0]] == ["", "", "good", ""]
    assert texts(table)[1][2] == "–"
    assert "n = 1–3" in table.note


def test_other_tables() -> None:
    made = result()
    assert texts(measurement_table(made)) == [["model:error@2", "a-b", "1", "0.50"]]
    facts = dict(texts(provenance_table(made)))
    assert facts["git"] == made.git and facts["config hash"] == made.config_hash
    assert facts["simulator"] == "mujoco 3.3.2" and "numpy" in facts["versions"]
    assert texts(config_table(made)) == [["a.b", "1"], ["a.c", "[2]"], ["d", "None"]]


def test_numbers() -> None:
    assert [number(v) for v in (0, 0.0123, -0.5, 3.14159, -45.67, 199.96)] == [
        "0.0", "0.012", "−0.50", "3.14", "−45.7", "200.0",
    ]  # fmt: skip
    assert number(-0.000012) == "−1.2e-05" and number(-1e-12) == "0.0"
    assert interval({"mean": 2.0, "low": 1.0, "high": 3.0, "n": 9}) == "2.00 [1.00, 3.00]"


def test_drawn_on_a_terminal_and_as_markdown() -> None:
    stream = io.StringIO()
    print_result(result(), Console(file=stream, width=160))
    assert "planner:x" in stream.getvalue() and "model:error@2" in stream.getvalue()
    table = Table("t", ("name", "value"), [[Cell("a|b [red]"), Cell("1")]], note="Note.")
    assert to_markdown(table) == (
        "| name | value |\n| --- | ---: |\n| a\\|b [red] | 1 |\n\nNote.\n"
    )
