"""Paired baselines and their recipe: resumed after a kill, nothing lost, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foresight.core.errors import ForesightError
from foresight.evaluation import baselines
from foresight.evaluation.baselines import (
    RowBook,
    borrow_baselines,
    paired_baselines,
)
from foresight.evaluation.results import make_result
from foresight.experts import has_expert
from studies.baselines import presets, run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every episode that is really run, as (task, behaviour, seed)."""
    calls: list[tuple] = []
    real = baselines.evaluate_behaviour

    def spy(task: str, spec: str, seeds: list[int], *args: object, **kwargs: object) -> list:
        calls.extend((task, spec, seed) for seed in seeds)
        return real(task, spec, seeds, *args, **kwargs)

    monkeypatch.setattr(baselines, "evaluate_behaviour", spy)
    return calls


@pytest.fixture
def quick_constant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    searches: list[str] = []

    def search(task: str, protocol: str, seeds: object) -> tuple[list[float], float]:
        searches.append(task)
        return [0.5], 1.0

    monkeypatch.setattr(baselines, "best_constant", search)
    return searches


def test_all_conditions_on_the_same_seeds(quick_constant: list[str]) -> None:
    rows = paired_baselines(
        "reacher-easy", [0, 1], conditions=("zero", "random", "constant", "expert"), steps=5
    )
    assert [(row["condition"], row["seed"]) for row in rows] == [
        (condition, seed)
        for condition in ("zero", "random", "constant", "expert")
        for seed in (0, 1)
    ]
    assert rows[4]["behaviour"] == "constant:0.5"
    assert has_expert("expert", "reacher-easy") and not has_expert("expert", "dog-run")
    assert has_expert("oracle", "cartpole-swingup") and not has_expert("oracle", "dog-run")
    rows = paired_baselines("dog-run", [0], conditions=("zero", "expert"), steps=2)
    assert [row["condition"] for row in rows] == ["zero"]


def test_the_searched_constant_is_really_used() -> None:
    rows = paired_baselines(
        "cartpole-swingup", [0], conditions=("zero", "constant"), training_seeds=[10_000]
    )
    assert rows[1]["behaviour"].startswith("constant:")
    assert rows[1]["return"] > rows[0]["return"] + 1  # a push beats hanging still, see the notes


def test_finished_rows_are_not_run_again(
    tmp_path: Path, counted: list[tuple], quick_constant: list[str]
) -> None:
    def measure(seeds: range) -> list[dict]:
        book = RowBook(tmp_path / "rows.jsonl")
        conditions = ("zero", "constant")
        return paired_baselines(
            "cartpole-swingup", seeds, conditions=conditions, steps=3, book=book
        )

    first = measure(range(2))
    assert len(counted) == 4
    with open(tmp_path / "rows.jsonl", "a") as file:
        file.write('{"task": "cartpo')  # a kill while writing
    again = measure(range(3))
    assert counted[4:] == [
        ("cartpole-swingup", "zero", 2),
        ("cartpole-swingup", "constant:0.5", 2),
    ]
    assert [row for row in again if row["seed"] < 2] == first
    assert quick_constant == ["cartpole-swingup"]


def test_an_interrupted_evaluation_keeps_what_was_finished(
    tmp_path: Path, counted: list[tuple]
) -> None:
    def stop(row: dict) -> None:
        if row["seed"] == 2:
            raise KeyboardInterrupt

    options = {"conditions": ("random",), "steps": 3}
    book = RowBook(tmp_path / "rows.jsonl")
    with pytest.raises(KeyboardInterrupt):
        paired_baselines("cartpole-swingup", range(5), book=book, on_row=stop, **options)
    counted.clear()
    book = RowBook(tmp_path / "rows.jsonl")
    rows = paired_baselines("cartpole-swingup", range(5), book=book, **options)
    assert [seed for _, _, seed in counted] == [3, 4]
    assert [row["seed"] for row in rows] == [0, 1, 2, 3, 4]


def test_another_configuration_is_measured_anew(tmp_path: Path, counted: list[tuple]) -> None:
    for steps in (3, 4):
        book = RowBook(tmp_path / "rows.jsonl")
        rows = paired_baselines(
            "cartpole-swingup", [0], conditions=("zero",), steps=steps, book=book
        )
        assert [row["length"] for row in rows] == [steps]
    assert len(counted) == 2


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ForesightError, match="zero, random"):
        paired_baselines("cartpole-swingup", [0], conditions=("lucky",))
    with pytest.raises(ForesightError, match="both for evaluation"):
        paired_baselines("cartpole-swingup", [10_001], conditions=("constant",))
    (tmp_path / "rows.jsonl").write_text('{"step": 3}\n')
    with pytest.raises(ForesightError, match="episode rows"):
        RowBook(tmp_path / "rows.jsonl")


def test_recipe_smoke(tmp_path: Path, counted: list[tuple]) -> None:
    config = presets()["smoke"]
    result = run(config, tmp_path / "run")
    assert result.protocol == "seed200"
    assert {row["condition"] for row in result.rows} == {"zero", "random", "expert"}
    assert result.summary["zero/cartpole-swingup"]["n"] == 2
    assert len(counted) == len(result.rows)
    lines = (tmp_path / "run" / "rows.jsonl").read_text().splitlines()
    assert len([json.loads(line) for line in lines]) == len(result.rows)
    assert run(config, tmp_path / "run").rows == result.rows
    assert len(counted) == len(result.rows)


def test_a_task_without_teachers_is_set_beside_the_trivial_conditions_only():
    rows = paired_baselines(
        "pendulum-swingup", [0], conditions=("zero", "expert", "oracle"), steps=2
    )
    assert [row["condition"] for row in rows] == ["zero"]


def test_episodes_of_a_result_file_are_not_run_again(
    tmp_path: Path, counted: list[tuple], quick_constant: list[str]
) -> None:
    conditions = ("zero", "constant")
    rows = paired_baselines("reacher-easy", [0, 1], conditions=conditions)
    path = tmp_path / "baselines.json"
    make_result("baselines", {}, "seed200", rows).save(path)
    counted.clear()
    quick_constant.clear()
    book = RowBook(tmp_path / "rows.jsonl")
    assert borrow_baselines(book, path) == 4
    again = paired_baselines("reacher-easy", [0, 1], conditions=conditions, book=book)
    assert [row["return"] for row in again] == [row["return"] for row in rows]
    assert counted == [] and quick_constant == []
    assert (tmp_path / "rows.jsonl").read_text() == ""  # lent, not written down
    assert borrow_baselines(RowBook(), tmp_path / "missing.json") == 0
