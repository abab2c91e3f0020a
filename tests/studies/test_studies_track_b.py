"""The study of predictors by size: from a recording to tables, once and again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from foresight import cli
from foresight.data.dataset import Dataset
from foresight.diagnostics.judge import CENTRED, L1, MODEL, PERSISTENCE, RAW, Judgement
from foresight.evaluation.results import load
from foresight.worldmodel.predictor.config import PredictorSizes, named_sizes, window_flops
from studies.registry import Request
from studies.track_b import study
from studies.track_b.data import Recording, hours_of, record
from studies.track_b.tables import tables

TASK = "walker-walk"
ROWS = ("tiny", "1m", "persistence", "mean", "linear", "linear-no-actions", "shuffled-actions")


@pytest.mark.slow
def test_from_a_recording_to_tables(tmp_path, tiny_eyes, monkeypatch, capsys):
    words = ["reproduce", "track-b", "--preset", "smoke", "--run", str(tmp_path), "--workers", "1"]
    line = [*words, "--encoder", tiny_eyes]
    assert cli.main(line) == 0
    printed = capsys.readouterr().out
    assert "The source's thresholds" in printed and "walker-walk: skill" in printed
    result = load(tmp_path / "track-b.json")
    for row in (*ROWS, "ceiling", "1m-no-actions", "tiny-equal-updates"):
        for measure in ("skill", "cos-centred", "cos-raw"):
            assert f"{measure}/{row}-{TASK}@h5" in result.summary, (measure, row)
    found = result.summary
    assert found[f"skill/persistence-{TASK}@h1"]["mean"] == 0
    assert found[f"cos-centred/mean-{TASK}@h1"]["mean"] == 0
    assert (
        found[f"skill/shuffled-actions-{TASK}@h5"] == found[f"skill/1m-shuffled-actions-{TASK}@h5"]
    )
    assert found["updates/1m"]["mean"] == found["updates/tiny-equal-updates"]["mean"] == 2
    assert found["updates/tiny"]["mean"] > 2
    assert found["parameters/1m"]["mean"] == found[f"parameters/1m-{TASK}"]["mean"] > 1.7e6
    assert f"minus-linear/1m-{TASK}@h5" in found and "hours/data" in found
    assert len(tables(result)) == 4
    # What is finished is not done again.
    monkeypatch.setattr(study, "judge", None)
    monkeypatch.setattr("foresight.training.loop._epoch", None)
    assert cli.main(line) == 0
    assert load(tmp_path / "track-b.json").summary == found


def test_a_recording_grows_to_its_hours(tmp_path):
    small = Recording("point_mass-easy", 10 / 3600, seconds=0.8, policies=("random",))
    store = record(small, 32, tmp_path / "data", 1)
    assert hours_of(store) >= 0.98 * small.hours
    assert len(store) < 40 and max(store.lengths) <= round(0.8 * store.spec.fps)
    before = Dataset.open(tmp_path / "data").fingerprint
    assert record(small, 32, tmp_path / "data", 1).fingerprint == before
    assert Recording("point_mass-easy", 1, policies=("noisy:0.6:none",)).behaviour[0] != ""


def test_equal_updates_and_equal_compute():
    config = study.presets()["full"]
    sizes = PredictorSizes(actions=3, states=81)
    rows = {row.name: row for row in study.plan(config, sizes)}
    assert list(rows) == ["1m-equal-updates", "1m", "10m"]
    assert rows["1m-equal-updates"].updates == rows["10m"].updates == 5000
    spent = [
        rows[name].updates * window_flops(named_sizes(name, sizes), config.frames)
        for name in ("1m", "10m")
    ]
    assert spent[0] == pytest.approx(spent[1], rel=1e-3)
    assert config.hours == 5 and config.tasks == ("spot/command", "spot/joints")


def test_a_judgement_is_kept_as_it_is(tmp_path):
    values = {
        (measure, name): torch.tensor([[0.1, 0.2], [0.3, np.nan]])
        for measure in (RAW, CENTRED, L1)
        for name in (MODEL, PERSISTENCE)
    }
    study._write(tmp_path / "kept.json", Judgement([1, 5], 0.1, values))
    back = study._read(tmp_path / "kept.json")
    assert back.horizons == [1, 5] and back.step_seconds == 0.1
    for key, value in values.items():
        assert torch.equal(back.values[key].nan_to_num(-1), value.nan_to_num(-1))
    assert back.column(CENTRED, MODEL, 5) == [pytest.approx(0.2)]


def test_the_request_says_how_much(monkeypatch):
    seen = {}
    monkeypatch.setattr(study, "run", lambda config, request: seen.update(config=config))
    monkeypatch.setattr(study, "beside", lambda result, before: None)
    study.reproduce(Request("track-b", "smoke", hours=50.0, tasks=("spot/joints",)))
    smoke = study.presets()["smoke"]
    assert seen["config"] == replace(smoke, hours=50.0, tasks=("spot/joints",))
    assert [study.track_name(task) for task in ("spot/joints", TASK)] == ["joints", TASK]
