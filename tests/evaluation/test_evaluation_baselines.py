"""Paired baselines and their recipe: resumed after a kill, nothing lost, nothing twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from foresight.core.errors import ForesightError
from foresight.envs.registry import EnvConfig
from foresight.evaluation import assess, cache
from foresight.evaluation.baselines import borrow_baselines, paired_baselines
from foresight.evaluation.cache import EpisodeCache
from foresight.evaluation.config import EvalConfig
from foresight.evaluation.results import make_result
from robots import ROBOT
from studies.baselines import presets, run


def on(env_id: str, seeds, max_steps: int | None = None) -> EvalConfig:
    return EvalConfig(EnvConfig(env_id, size=32), tuple(seeds), max_steps)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """Every episode that is really run, as (environment, policy, seed)."""
    calls: list[tuple] = []
    real = assess.evaluate_policy

    def spy(env, maker, seeds: list[int], **kwargs: object) -> object:
        calls.extend((env.id, maker.name, seed) for seed in seeds)
        assert env.cameras == ()  # nobody renders for those who do not look
        return real(env, maker, seeds, **kwargs)

    monkeypatch.setattr(assess, "evaluate_policy", spy)
    return calls


@pytest.fixture
def quick_constant(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    searches: list[str] = []

    def search(env: EnvConfig, seeds: object, workers: int) -> tuple[list[float], float]:
        searches.append(env.id)
        return [0.5], 1.0

    monkeypatch.setattr(cache, "best_constant", search)
    return searches


def test_all_methods_on_the_same_seeds(quick_constant: list[str]) -> None:
    methods = ("zero", "random", "constant", "expert")
    rows = paired_baselines(on("reacher-easy", [0, 1], 5), methods)
    assert [(row["condition"], row["seed"]) for row in rows] == [
        (method, seed) for method in methods for seed in (0, 1)
    ]
    assert rows[4]["behaviour"] == "constant:0.5"


def test_where_there_is_no_expert_it_is_left_out_with_a_note(capsys) -> None:
    rows = paired_baselines(on("dog-run", [0], 2), ("zero", "expert", "oracle"))
    assert [row["condition"] for row in rows] == ["zero"]
    noted = capsys.readouterr().err
    assert "dog-run has no expert" in noted and "dog-run has no oracle" in noted


def test_an_environment_without_a_simulator_has_its_trivial_baselines() -> None:
    config = EvalConfig(ROBOT, (0, 1), max_steps=4)
    rows = paired_baselines(config)
    assert list(dict.fromkeys(row["condition"] for row in rows)) == ["zero", "random", "constant"]
    by_method = {m: [r["return"] for r in rows if r["condition"] == m] for m in ("zero", "random")}
    assert by_method["zero"] != by_method["random"]


def test_the_searched_constant_is_really_used() -> None:
    config = on("cartpole-swingup", [0])
    rows = paired_baselines(config, ("zero", "constant"), training_seeds=[10_000])
    assert rows[1]["behaviour"].startswith("constant:")
    assert rows[1]["return"] > rows[0]["return"] + 1  # a push beats hanging still, see the notes


def test_finished_rows_are_not_run_again(
    tmp_path: Path, counted: list[tuple], quick_constant: list[str]
) -> None:
    def measure(seeds: range) -> list[dict]:
        kept = EpisodeCache(tmp_path / "rows.jsonl")
        return paired_baselines(on("cartpole-swingup", seeds, 3), ("zero", "constant"), kept)

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
    class Stopped(EpisodeCache):
        def add(self, row: dict) -> None:
            super().add(row)
            if row["seed"] == 2:
                raise KeyboardInterrupt

    config = on("cartpole-swingup", range(5), 3)
    with pytest.raises(KeyboardInterrupt):
        paired_baselines(config, ("random",), Stopped(tmp_path / "rows.jsonl"))
    counted.clear()
    kept = EpisodeCache(tmp_path / "rows.jsonl")
    rows = paired_baselines(config, ("random",), kept)
    assert [seed for _, _, seed in counted] == [3, 4]
    assert [row["seed"] for row in rows] == [0, 1, 2, 3, 4]


def test_another_configuration_is_measured_anew(tmp_path: Path, counted: list[tuple]) -> None:
    for steps in (3, 4):
        kept = EpisodeCache(tmp_path / "rows.jsonl")
        rows = paired_baselines(on("cartpole-swingup", [0], steps), ("zero",), kept)
        assert [row["length"] for row in rows] == [steps]
    assert len(counted) == 2


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ForesightError, match="zero, random"):
        paired_baselines(on("cartpole-swingup", [0]), ("lucky",))
    with pytest.raises(ForesightError, match="both for evaluation"):
        paired_baselines(on("cartpole-swingup", [10_001]), ("constant",))
    (tmp_path / "rows.jsonl").write_text('{"step": 3}\n')
    with pytest.raises(ForesightError, match="episode rows"):
        EpisodeCache(tmp_path / "rows.jsonl")


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


def test_episodes_of_a_result_file_are_not_run_again(
    tmp_path: Path, counted: list[tuple], quick_constant: list[str]
) -> None:
    methods, config = ("zero", "constant"), on("reacher-easy", [0, 1])
    rows = paired_baselines(config, methods)
    rows = [{**row, "config_hash": "0" * 16} for row in rows]  # another revision's settings
    path = tmp_path / "baselines.json"
    make_result("baselines", {}, "seed200", rows).save(path)
    counted.clear()
    quick_constant.clear()
    kept = EpisodeCache(tmp_path / "rows.jsonl")
    assert borrow_baselines(kept, config.env, path) == 4
    again = paired_baselines(config, methods, kept)
    assert [row["return"] for row in again] == [row["return"] for row in rows]
    assert counted == [] and quick_constant == []
    assert (tmp_path / "rows.jsonl").read_text() == ""  # lent, not written down
    assert borrow_baselines(EpisodeCache(), config.env, tmp_path / "missing.json") == 0
    longer = EnvConfig("reacher-easy", protocol="dmc1000")
    assert borrow_baselines(EpisodeCache(), longer, path) == 0
