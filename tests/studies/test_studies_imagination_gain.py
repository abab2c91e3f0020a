"""Reflex, search and imagined actor of one agent, through the command line."""

from __future__ import annotations

import pytest

from foresight import cli
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference, returns_by_seed
from studies import imagination_gain

TASK = "cartpole-swingup"
WORDS = ["reproduce", "imagination-gain", "--preset", "smoke", "--workers", "1"]


@pytest.mark.slow
def test_three_act_with_the_same_model_and_nothing_is_learned_twice(
    tmp_path, tiny_eyes, monkeypatch
):
    line = [*WORDS, "--encoder", tiny_eyes, "--run", str(tmp_path)]
    assert cli.main(line) == 0
    result = load(tmp_path / "imagination-gain.json")
    assert set(result.conditions) == {"mpc", "prior", "actor", "zero", "random"}
    prior = list(returns_by_seed(result.rows, TASK, "prior").values())
    for name in ("mpc", "actor"):
        ours = list(returns_by_seed(result.rows, TASK, name).values())
        expected = paired_difference(ours, prior).as_dict()
        assert result.summary[f"{name}-minus-prior/{TASK}@320"] == expected
    learned = result.config["learned"][TASK]
    assert learned["expert"] is None and not learned["proprio"] and learned["algorithm"] == "mpc"
    monkeypatch.setattr("foresight.training.online.Collector", None)
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "imagination-gain.json").summary.keys() == result.summary.keys()


def test_gains_are_paired_by_seed():
    rows = [
        {"task": TASK, "condition": name, "seed": seed, "return": float(earned)}
        for name, returns in {"prior": (1, 2, 6), "mpc": (2, 4, 6), "actor": (1, 1, 1)}.items()
        for seed, earned in enumerate(returns)
    ]
    found = imagination_gain.gains(rows, 9)
    assert set(found) == {f"mpc-minus-prior/{TASK}@9", f"actor-minus-prior/{TASK}@9"}
    assert found[f"mpc-minus-prior/{TASK}@9"]["mean"] == 1.0
    assert found[f"actor-minus-prior/{TASK}@9"]["mean"] == -2.0
