"""Agents in changed bodies, through the command line, on a model learned for a moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.evaluation import assess
from foresight.evaluation.results import load
from foresight.evaluation.statistics import paired_difference
from studies import adaptation
from studies.adaptation import ADAPTED, Change
from studies.learned import find_learned

TASK = "point_mass-easy"
WORDS = ["reproduce", "adaptation", "--preset", "smoke", "--workers", "1"]


@pytest.mark.slow
def test_conditions_stand_side_by_side_and_a_kill_loses_nothing(
    tmp_path, tiny_learned, monkeypatch
):
    line = [*WORDS, "--models", str(tiny_learned.parent), "--run"]
    real, left = assess.evaluate_policy, [5]

    def killed(*args, **more):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*args, **more)

    monkeypatch.setattr(assess, "evaluate_policy", killed)
    assert cli.main([*line, str(tmp_path / "killed")]) == 130
    monkeypatch.setattr(assess, "evaluate_policy", real)
    assert cli.main([*line, str(tmp_path / "killed")]) == 0
    assert cli.main([*line, str(tmp_path / "whole")]) == 0
    result, whole = (load(tmp_path / name / "adaptation.json") for name in ("killed", "whole"))
    assert [settled(row) for row in result.rows] == [settled(row) for row in whole.rows]

    assert result.tasks == [f"{TASK}-same", f"{TASK}-gear0.5@4"]
    played = {(row["task"], row["condition"]) for row in result.rows}
    names = {"none", *ADAPTED, "zero", "random"}
    assert {name for task, name in played if task.endswith("gear0.5@4")} == names
    old = {"same-body", "same-body-rls", "zero", "random"}
    assert {name for task, name in played if task.endswith("same")} == old
    assert len(result.rows) == 2 * len(played)
    for key in (
        f"rls-minus-none/{TASK}-gear0.5@4",
        f"same-body-rls-minus-same-body/{TASK}-same",
        f"none-minus-same-body/{TASK}-gear0.5@4",
        f"none-error1/{TASK}-gear0.5@4",
        f"gain-error5/{TASK}-gear0.5@4",
        f"finetune-adapt-ms/{TASK}-gear0.5@4",
        f"gain-found/{TASK}-gear0.5@4",
    ):
        assert result.summary[key]["n"] == 2
    monkeypatch.setattr(assess, "evaluate_policy", None)
    assert cli.main([*line, str(tmp_path / "killed")]) == 0


def settled(row):
    """A row without what a clock says."""
    return {name: value for name, value in row.items() if not name.endswith("_ms")}


def rows(task, returns, **more):
    return [
        {"task": task, "condition": name, "seed": seed, "return": float(earned), **more}
        for name, each in returns.items()
        for seed, earned in enumerate(each)
    ]


def test_differences_are_paired_within_a_body_and_losses_across():
    own = rows("t-same", {"same-body": [10, 20, 30], "same-body-rls": [9, 21, 30]})
    found = rows("t-mass1.5", {"none": [4, 5, 9], "rls": [6, 5, 12]}, model_error1_late=0.5)
    compared = adaptation.compared([*own, *found])
    expected = paired_difference([6, 5, 12], [4, 5, 9]).as_dict()
    assert compared["rls-minus-none/t-mass1.5"] == expected
    expected = paired_difference([9, 21, 30], [10, 20, 30]).as_dict()
    assert compared["same-body-rls-minus-same-body/t-same"] == expected
    expected = paired_difference([4, 5, 9], [10, 20, 30]).as_dict()
    assert compared["none-minus-same-body/t-mass1.5"] == expected
    assert compared["none-error1/t-mass1.5"]["mean"] == 0.5
    assert len(compared) == 4


def test_full_size_is_what_the_page_says():
    full = adaptation.presets()["full"]
    assert full.seeds == 20 and full.protocol == "seed200" and full.steps is None
    assert len(full.changes) == 14 and full.baselines == ("zero", "random")
    labels = [change.label for change in full.changes]
    assert labels[:4] == ["gear0.5", "gear0.7", "gear1.3", "gear1.5"]
    assert labels[-2:] == ["gear0.5@100", "mass1.5@100"]
    env = Change("mass", 1.5, 100).environment("walker-walk", "seed200")
    assert env.options == (("changes_at", 100), ("mass", 1.5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"conditions": ("none", "odd")}, "Unknown condition 'odd': choose none, rls"),
        ({"changes": (Change("gear", 0.0),)}, "A factor of 0.0 on the gear is refused"),
    ],
)
def test_mistakes_are_told(changes, words, tmp_path, tiny_learned):
    config = replace(adaptation.presets()["smoke"], unchanged=(), baselines=(), **changes)
    with pytest.raises(ForesightError, match=words):
        adaptation.run(config, find_learned([tiny_learned], tmp_path))
