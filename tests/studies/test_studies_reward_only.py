"""Agents that learn from reward alone, through the command line."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from foresight import cli
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference, returns_by_seed
from studies import reward_only

TASK = "cartpole-swingup"
WORDS = ["reproduce", "reward-only", "--preset", "smoke", "--workers", "1"]


@pytest.mark.slow
def test_every_agent_stands_beside_its_search_and_nothing_is_learned_twice(
    tmp_path, tiny_eyes, monkeypatch
):
    line = [*WORDS, "--encoder", tiny_eyes, "--run", str(tmp_path)]
    assert cli.main(line) == 0
    result = load(tmp_path / "reward-only.json")
    agents = {"sac", "mpc", "sac@240", "mpc@240", "sac-1", "mpc-1", "sac-1@240", "mpc-1@240"}
    assert set(result.conditions) == agents | {"zero", "random"}
    for name in ("", "@240", "-1"):
        search, actor = (returns_by_seed(result.rows, TASK, f"{m}{name}") for m in ("mpc", "sac"))
        expected = paired_difference(list(search.values()), list(actor.values())).as_dict()
        assert result.summary[f"mpc-minus-sac{name}/{TASK}"] == expected
    assert result.summary[f"sac-1:frames/{TASK}"]["mean"] == 640
    assert result.summary[f"sac:hours/{TASK}"]["mean"] > 0
    learned = result.config["learned"]
    assert [learned[f"{TASK}#{n}"]["seed"] for n in (0, 1)] == [0, 1]
    assert all(each["expert"] is None and not each["proprio"] for each in learned.values())
    table = list(csv.DictReader((tmp_path / "reward-only.csv").read_text().splitlines()))
    ours = {(r["method"], r["frames"]): float(r["return"]) for r in table if r["input"] == "pixels"}
    assert ours["Foresight sac", "240"] == round(result.summary[f"sac@240/{TASK}"]["mean"], 2)
    assert ours["Foresight mpc-1", "640"] == round(result.summary[f"mpc-1/{TASK}"]["mean"], 2)
    assert ours["DreamerV3", "500000"] == 840
    monkeypatch.setattr("foresight.training.online.Collector", None)
    monkeypatch.setattr("foresight.evaluation.assess.evaluate_policy", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "reward-only.json").summary.keys() == result.summary.keys()


def test_gains_are_paired_by_name_and_seed():
    rows = [
        {"task": TASK, "condition": name, "seed": seed, "return": float(earned)}
        for name, returns in {"sac@9": (1, 2, 6), "mpc@9": (2, 4, 6), "mpc-1": (1, 1, 1),
                              "sac-1": (3, 3, 3)}.items()
        for seed, earned in enumerate(returns)
    ]  # fmt: skip
    found = reward_only.gains(rows)
    assert set(found) == {f"mpc-minus-sac@9/{TASK}", f"mpc-minus-sac-1/{TASK}"}
    assert np.isclose(found[f"mpc-minus-sac@9/{TASK}"]["mean"], 1.0)
    assert found[f"mpc-minus-sac-1/{TASK}"]["mean"] == -2.0


def test_another_task_is_a_sentence(tmp_path, capsys):
    assert cli.main([*WORDS, "--tasks", "dog-run", "--run", str(tmp_path)]) == 2
    assert "reward-only has no task 'dog-run': choose from" in capsys.readouterr().err
