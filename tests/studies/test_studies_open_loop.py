"""Open-loop error of learned agents' models, through the command line and on made-up judgements."""

from __future__ import annotations

import pytest
import torch

from foresight import cli
from foresight.diagnostics.judge import CENTRED, L1, MEASURES, MODEL, PERSISTENCE, Judgement
from foresight.evaluation.results import load
from studies import open_loop
from studies.ensemble_errors.imagined_errors import HeldOut

TASK = "point_mass-easy"


@pytest.mark.slow
def test_a_model_stands_beside_what_needs_none(tmp_path, tiny_learned, monkeypatch):
    line = ["reproduce", "open-loop", "--preset", "smoke", "--run", str(tmp_path)]
    line += ["--models", str(tiny_learned.parent)]
    assert cli.main(line) == 0
    result = load(tmp_path / "open-loop.json")
    assert result.tasks == [f"{TASK}@h1", f"{TASK}@h3"]
    conditions = {row["condition"] for row in result.rows}
    assert {MODEL, PERSISTENCE, "mean", "linear", "shuffled-actions"} <= conditions
    for h in (1, 3):
        assert result.summary[f"skill:persistence/{TASK}@h{h}"]["mean"] == pytest.approx(0)
        assert result.summary[f"l1-minus-persistence/{TASK}@h{h}"]["n"] == 3
    # Episodes that were played are read, not played again.
    monkeypatch.setattr("studies.ensemble_errors.held_out._played", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "open-loop.json").summary == result.summary


def test_errors_are_compared_in_pairs_and_those_without_a_number_left_out():
    values = {
        (measure, condition): torch.tensor([[0.4, 0.4], [0.6, torch.nan]]) + extra
        for measure in MEASURES
        for condition, extra in [(MODEL, 0.0), *((rival, 0.1) for rival in open_loop.RIVALS)]
    }
    values[CENTRED, PERSISTENCE] = torch.tensor([[0.0, 0.0], [0.2, torch.nan]])
    judgement = Judgement([1, 30], 1.0, values)
    found = open_loop.compared(judgement, TASK)
    assert found[f"skill/{TASK}@h1"]["mean"] == pytest.approx(1 - 1.0 / 1.8)
    assert found[f"l1-minus-persistence/{TASK}@h1"] == pytest.approx(
        {"mean": -0.1, "low": -0.1, "high": -0.1, "n": 2}
    )
    assert found[f"l1-minus-persistence/{TASK}@h30"]["n"] == 1
    rows = list(open_loop.judgement_rows(judgement, TASK))
    assert len(rows) == 3 * 5 * 3  # measures, conditions, numbers
    errors = [row["value"] for row in rows if (row["measure"], row["condition"]) == (L1, MODEL)]
    assert errors == pytest.approx([0.4, 0.6, 0.4])


def test_the_state_before_each_decision_is_what_is_compared():
    episode = HeldOut(torch.arange(8.0).reshape(4, 2), torch.zeros(3, 1))
    track = open_loop.track_of(episode)
    assert track.inputs.shape == (3, 2) and torch.equal(track.features[:, 0], track.inputs)
    assert len(track.controls) == 3
