"""Result files: one schema, checked on the way in and on the way out."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint
from foresight.evaluation.results import Result, config_hash, load, make_result, validate
from foresight.evaluation.statistics import measure_key

ROW = {
    "task": "reacher-easy",
    "condition": "zero",
    "seed": 0,
    "return": 12.5,
    "success": False,
    "length": 200,
    "git": "a" * 40,
    "config_hash": "0123456789abcdef",
    "simulator": "mujoco 3.3.2",
}


@dataclass(frozen=True)
class Config:
    samples: int = 3
    out: Path = Path("results/x.json")
    tasks: tuple[str, ...] = ("reacher-easy",)


def result() -> Result:
    rows = [{**ROW, "seed": seed, "return": np.float32(seed)} for seed in range(3)]
    return make_result("baselines", Config(), "seed200", rows, command="foresight reproduce x")


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    made = result()
    path = made.save(tmp_path / "new" / "baselines.json")
    assert load(path) == made
    text = path.read_text()
    assert json.loads(text) == asdict(made) and '\n "rows": [\n  {"task": "reacher-easy"' in text
    assert '\n  "zero/reacher-easy": {"mean": 1.0,' in text
    assert made.summary["zero/reacher-easy"]["n"] == 3
    assert made.config == {"samples": 3, "out": "results/x.json", "tasks": ["reacher-easy"]}
    assert made.versions["mujoco"] and made.versions["python"]
    assert made.tasks == ["reacher-easy"] and made.conditions == ["zero"]
    assert made.config_hash == config_hash(Config()) != config_hash(Config(samples=4))
    assert set(json.loads(path.read_text())) == {
        "name", "created", "git", "command", "config", "versions", "protocol", "rows", "summary",
    }  # fmt: skip


def test_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    good = asdict(result())
    validate(good)
    for spoil, words in {
        "del value['git']": "'git' is a required property",
        "value['more'] = 1": "more",
        "value['created'] = 'today'": "created",
        "value['rows'] = []": "rows",
        "del value['rows'][1]['seed']": "rows.1.*'seed'",
        "value['rows'][1]['success'] = 1": "rows.1.success",
        "value['rows'][1]['seed'] = -1": "rows.1.seed",
        "value['rows'][1]['extra'] = [1]": "rows.1.extra",
        "value['rows'][1]['return'] = float('nan')": "nan at rows.1.return",
        "value['rows'].append({'measure': 'fps'})": "'value' is a required property",
        "value['summary']['fps'] = value['summary']['zero/reacher-easy']": "fps",
        "del value['summary']['zero/reacher-easy']['n']": "summary.zero/reacher-easy",
        "value['summary']['zero/reacher-easy']['n'] = 0": "summary.zero/reacher-easy.n",
        "value['versions'] = {}": "versions",
    }.items():
        value = copy.deepcopy(good)
        exec(spoil)
        with pytest.raises(ForesightError, match=words):
            validate(value)
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(value))
        with pytest.raises(ForesightError, match=r"bad\.json"):
            load(path)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ForesightError, match="does not exist"):
        load(tmp_path / "none.json")
    (tmp_path / "torn.json").write_text('{"name": "x"')
    with pytest.raises(ForesightError, match="not valid JSON"):
        load(tmp_path / "torn.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(ForesightError, match="not of type 'object'"):
        load(tmp_path / "list.json")


def test_a_bad_result_is_not_saved(tmp_path: Path) -> None:
    made = result()
    made.rows[0]["return"] = float("inf")
    with pytest.raises(ForesightError, match="inf"):
        made.save(tmp_path / "x.json")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ForesightError, match="'seed'"):
        make_result("x", {}, "seed200", [{k: v for k, v in ROW.items() if k != "seed"}])


def test_measurements_and_own_summary(tmp_path: Path) -> None:
    rows = [{"measure": "drift", "value": 0.5, "horizon": 3, "task": "reacher-easy"}]
    extra = {"ratio/all": {"mean": 2.0, "low": 2.0, "high": 2.0, "n": 1}}
    made = make_result("drift", {}, "none", rows, summary=extra)
    assert load(made.save(tmp_path / "x.json")).summary.keys() == {
        "drift@3/reacher-easy",
        "ratio/all",
    }


def test_documented_fields_are_those_of_the_schema() -> None:
    root = Path(__file__).parents[2]
    schema = json.loads((root / "src/foresight/evaluation/results.schema.json").read_text())
    page = (root / "docs/results.md").read_text()
    fields = [*schema["properties"], *schema["$defs"]["episode"]["properties"]]
    fields += schema["$defs"]["measurement"]["properties"]
    assert not [name for name in fields if f"`{name}`" not in page]


def many(episodes: int = 400) -> Result:
    rows = [{**ROW, "seed": seed, "return": seed / 3} for seed in range(episodes)]
    rows += [{"measure": "drift", "value": 0.5, "horizon": 3}]
    return make_result("baselines", Config(), "seed200", rows, command="foresight reproduce x")


def test_many_rows_lie_beside_the_file(tmp_path: Path) -> None:
    made = many()
    path = made.save(tmp_path / "baselines.json")
    beside = tmp_path / "baselines.rows.parquet"
    assert load(path) == made and beside.exists()
    assert len(path.read_text()) < 5_000 and beside.stat().st_size < 10_000
    assert json.loads(path.read_text())["rows"] == {
        "file": "baselines.rows.parquet",
        "count": 401,
        "fingerprint": file_fingerprint(beside),
    }
    assert "horizon" not in load(path).rows[0] and load(path).rows[-1] == made.rows[-1]
    small = result()
    small.save(path)  # in its place it leaves nothing behind
    assert load(path) == small and not beside.exists()
    beside.write_bytes(b"somebody else's")
    small.save(path)
    assert beside.read_bytes() == b"somebody else's"


def test_a_long_summary_leaves_no_room_for_rows(tmp_path: Path) -> None:
    entry = {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    rows = [{"measure": f"m{i}", "value": 1.0 / 3, "note": "long " * 200} for i in range(40)]
    summary = {f"the-name-of-something-{i}/reacher-easy": entry for i in range(800)}
    path = make_result("x", {}, "none", rows, summary).save(tmp_path / "x.json")
    assert (tmp_path / "x.rows.parquet").exists()
    assert len(path.read_text()) < 100_000 and len(load(path).rows) == 40


def test_rows_that_are_not_those_of_the_result(tmp_path: Path) -> None:
    path, other = many().save(tmp_path / "x.json"), many(500).save(tmp_path / "y.json")
    (tmp_path / "x.rows.parquet").write_bytes((tmp_path / "y.rows.parquet").read_bytes())
    with pytest.raises(ForesightError, match="does not hold the 401 rows that"):
        load(path)
    (tmp_path / "y.rows.parquet").unlink()
    with pytest.raises(ForesightError, match="which does not exist: copy both files"):
        load(other)


def test_every_row_is_checked_not_only_the_first_of_its_kind(tmp_path: Path) -> None:
    for spoil, words in {
        "rows[300]['seed'] = -1": "rows.300.seed",
        "rows[300]['seed'] = 0.5": "rows.300.seed",
        "rows[300]['length'] = 0": "rows.300.length",
        "rows[300]['config_hash'] = 'x'": "rows.300.config_hash",
        "rows[300]['return'] = float('nan')": "nan at rows.300.return",
        "rows[300]['success'] = 1": "rows.300.success",
        "del rows[300]['git']": "rows.300",
    }.items():
        rows = many().rows
        exec(spoil)
        with pytest.raises(ForesightError, match=words):
            make_result("x", {}, "seed200", rows)
    rows = many().rows
    rows[300]["note"], rows[301]["note"] = "text", 3
    with pytest.raises(ForesightError, match="a number and text in the field 'note'"):
        make_result("x", {}, "seed200", rows).save(tmp_path / "x.json")


def test_a_field_that_is_none_is_left_out() -> None:
    made = make_result("x", {}, "none", [{"measure": "fps", "value": 1, "task": None}])
    assert made.rows == [{"measure": "fps", "value": 1}]


def test_committed_results_are_small_and_their_means_those_of_their_rows() -> None:
    folder = Path(__file__).parents[2] / "results"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 6_000_000
    for path in sorted(folder.glob("*.json")):
        assert path.stat().st_size < 100_000, path
        found = load(path)
        values: dict[str, list[float]] = {}
        for row in found.rows:
            if "measure" not in row:
                values.setdefault(f"{row['condition']}/{row['task']}", []).append(row["return"])
            elif not {"low", "validation", "step"} & row.keys():  # of curves, and of ratios
                values.setdefault(measure_key(row), []).append(row["value"])
        for key, each in values.items():
            assert found.summary[key]["mean"] == pytest.approx(np.mean(each)), (path, key)
