"""Agents under delays, through the command line and on a model that was learned for a moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference, ratio_interval, returns_by_seed
from studies import delay
from studies.learned import find_learned

TASK = "point_mass-easy"
WORDS = ["reproduce", "delay", "--preset", "smoke", "--workers", "1"]


@pytest.mark.slow
def test_conditions_stand_side_by_side_and_nothing_is_run_twice(
    tmp_path, tiny_learned, monkeypatch
):
    line = [*WORDS, "--run", str(tmp_path), "--models", str(tiny_learned.parent)]
    assert cli.main(line) == 0
    result = load(tmp_path / "delay.json")
    assert set(result.conditions) == {*delay.CONDITIONS, "zero", "random"}
    assert result.tasks == [f"{TASK}-d0", f"{TASK}-d1"] and result.protocol == "seed200"
    played = {
        name: [returns_by_seed(result.rows, f"{TASK}-d{d}", name) for d in (0, 1)]
        for name in result.conditions
    }
    assert all(sorted(found[0]) == [0, 1] for found in played.values())
    assert not played["zero"][1]  # baselines without a delay
    assert 0 <= result.summary[f"estimated-delay/{TASK}-d1"]["mean"] <= 2
    for name in ("simulator-rolled", "model-rolled-minus-ignored"):
        assert result.summary[f"{name}/{TASK}-d1"]["n"] == 2
    # Each delay is an environment of its own, and each condition another agent.
    hashes = {(row["task"], row["condition"]): row["config_hash"] for row in result.rows}
    assert len(set(hashes.values())) == len(hashes) == 2 * 4 + 2
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "delay.json").summary.keys() == result.summary.keys()


def rows(returns):
    return [
        {"task": "t-d2", "condition": name, "seed": seed, "return": float(earned)}
        for name, each in returns.items()
        for seed, earned in enumerate(each)
    ]


def test_differences_are_paired_and_guesses_are_averaged():
    found = rows({"model-rolled": [4, 5, 9], "ignored": [1, 2, 3], "model-estimated": [1, 1, 1]})
    for row, guess in zip(found[-3:], (2, 3, 4), strict=True):
        row["estimated_delay"] = guess
    compared = delay.compared(found)
    expected = paired_difference([4, 5, 9], [1, 2, 3]).as_dict()
    assert compared["model-rolled-minus-ignored/t-d2"] == expected
    assert compared["estimated-delay/t-d2"]["mean"] == 3
    assert set(compared) == {"model-rolled-minus-ignored/t-d2", "estimated-delay/t-d2"}


def test_shares_are_ratios_of_means_resampled_in_pairs():
    ours, most = [10, 20, 60], [20, 40, 60]
    found = delay.compared(rows({"model-rolled": ours, "simulator-rolled": most}))
    assert set(found) == {"share/t-d2"}
    share = found["share/t-d2"]
    assert np.isclose(share["mean"], 90 / 120) and share["n"] == 3
    assert 0.5 <= share["low"] < share["mean"] < share["high"] <= 1.0
    assert share == ratio_interval(ours, most).as_dict()
    # To a ceiling of next to nothing there is no share.
    assert not delay.compared(rows({"model-rolled": [0, 1], "simulator-rolled": [0.1, 0.2]}))


def test_full_size_is_what_the_page_says():
    full = delay.presets()["full"]
    assert full.delays == (0, 1, 2, 3, 4) and full.seeds == 20 and full.protocol == "seed200"
    assert full.baselines == ("zero", "random", "constant", "oracle") and full.steps is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conditions": ("ignored", "odd")}, "Unknown condition 'odd': choose from ignored, "),
        ({"delays": (0, -1)}, "-1 is no action delay: give a whole number from 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_run(changes, words, tmp_path, tiny_learned):
    config = replace(delay.presets()["smoke"], **changes)
    with pytest.raises(ForesightError, match=words):
        delay.run(config, find_learned([tiny_learned], tmp_path))
    assert not (tmp_path / TASK / "rows.jsonl").exists()


def test_a_task_that_nobody_learned_is_a_sentence(tmp_path, capsys):
    line = ["reproduce", "delay", "--models", str(tmp_path), "--tasks", "walker-walk"]
    assert cli.main([*line, "--run", str(tmp_path / "run")]) == 2
    assert "holds no learned model: learn one with" in capsys.readouterr().err
