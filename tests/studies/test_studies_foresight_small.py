from __future__ import annotations

import json
from dataclasses import asdict

import pytest
import torch

import foresight
from foresight import cli
from foresight.evaluation.results import load, make_result
from studies import foresight_small

pytestmark = pytest.mark.slow


def test_smoke_run_makes_an_encoder_its_card_and_its_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["reproduce", "foresight-small", "--preset", "smoke", "--workers", "1"]
    assert cli.main(words) == 0
    folder = tmp_path / "runs" / "foresight-small-smoke"
    encoder = foresight.load_encoder(folder / "foresight-small")
    assert encoder.encode(torch.zeros(1, 2, 64, 64, 3, dtype=torch.uint8)).shape[-1] == 192
    card = (folder / "foresight-small" / "README.md").read_text()
    assert "4 and 4 updates" in card and "| reacher-easy-camera0-plain | 2 | 200 |" in card
    assert "Run `foresight probe`" in card
    result = load(folder / "foresight-small.json")
    assert {row["measure"] for row in result.rows} >= {"loss", "pixels", "seconds"}


def test_rows_name_the_task_of_a_probe():
    log = [{"step": 5, "loss": 1.0, "lr": 0.1, "probe/cup-catch": 0.5, "probe": None}]
    assert foresight_small.training_rows(log) == [
        {"measure": "loss", "value": 1.0, "step": 5},
        {"measure": "probe", "value": 0.5, "step": 5, "task": "cup-catch"},
    ]


def test_the_card_shows_the_probes(tmp_path):
    rows = [{"measure": "position-r2", "value": 0.5, "task": "cup-catch"}]
    entry = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 3}
    names = ("position-r2/cup-catch", "random-weights:position-r2/cup-catch")
    probes = make_result("probes", {}, "none", rows, dict.fromkeys(names, entry))
    probes.save(tmp_path / "probes.json")
    log = [{"measure": "loss", "value": 1.0, "step": 1, "condition": "first"}]
    settings = {"first": asdict(foresight_small.FIRST)}
    training = make_result("foresight-small", {"settings": settings}, "none", log)
    card = foresight_small.model_card([], training, tmp_path / "probes.json")
    assert "| position-r2/cup-catch | 0.500 | 0.500 | – |" in card
    assert json.loads((tmp_path / "probes.json").read_text())["name"] == "probes"
