"""The whole command at a tiny size: results, resuming, refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.diagnostics.probes import run as probes
from foresight.diagnostics.probes.fit import FitSettings
from foresight.evaluation.results import load
from foresight.report.probes import probe_chart, probe_table

pytestmark = pytest.mark.slow

TINY = probes.ProbeSettings(
    tasks=("point_mass-easy", "scenes"),
    episodes=8,
    windows=3,
    scenes=40,
    frames=2,
    steps=12,
    training=FitSettings(updates=4),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("probe")


@pytest.fixture(scope="module")
def result(folder):
    return probes.run_probes(TINY, folder)


def test_every_measure_stands_beside_its_baselines(result):
    measures = {
        "point_mass-easy": ("position-r2", "velocity-r2"),
        "scenes": (
            "object-xy-r2",
            "object-size-r2",
            "object-class-accuracy",
            "motion-direction-accuracy",
        ),
    }
    for task, names in measures.items():
        for name in names:
            for prefix in ("", "random-weights:", "pixel-pca:"):
                entry = result.summary[f"{prefix}{name}/{task}"]
                assert entry["low"] <= entry["mean"] <= entry["high"]
                assert entry["n"] == {"point_mass-easy": 1, "scenes": 8}[task]
    targets = {row["target"] for row in result.rows if "target" in row}
    assert {"ball x", "ball speed y", "object size", "direction"} <= targets


def test_table_and_chart(result, tmp_path):
    table = probe_table(result)
    assert len(table.rows) == 7
    assert list(table.columns[2:]) == ["foresight-small", "random-weights", "pixel-pca"]
    probe_chart(result, tmp_path / "probes.png")
    assert (tmp_path / "probes.png").read_bytes().startswith(b"\x89PNG")


def test_a_finished_reading_is_not_made_again(result, folder, monkeypatch):
    def never(*_):
        raise AssertionError("made again")

    monkeypatch.setattr(probes, "collect", never)
    monkeypatch.setattr(probes, "read_features", never)
    assert probes.run_probes(TINY, folder).summary == result.summary
    with pytest.raises(AssertionError, match="made again"):
        probes.run_probes(replace(TINY, windows=2), folder)


def test_a_killed_run_makes_only_what_is_missing(result, folder, monkeypatch):
    (lost,) = folder.glob("readings/scenes-pixel-pca-*.json")
    before = json.loads(lost.read_text())
    lost.unlink()
    made = []
    read = probes.read_features
    monkeypatch.setattr(probes, "read_features", lambda *a: made.append(a[4]) or read(*a))
    probes.run_probes(TINY, folder)
    assert made == ["scenes: pixel-pca"]
    assert json.loads(lost.read_text()) == before  # and gives the same numbers


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["acrobot-swingup"], "nothing to probe in 'acrobot-swingup'"),
        (["--frames", "3"], "3 frames cannot be probed"),
        (["--episodes", "4"], "4 episodes or scenes are too few"),
        (["--stride", "0"], "stride of 0"),
        (["--encoder", "nowhere"], "'nowhere'"),
    ],
)
def test_mistakes_end_in_one_sentence(words, sentence, tmp_path, capsys):
    assert cli.main(["probe", "--data", str(tmp_path), *words]) == cli.USER_ERROR
    assert sentence in capsys.readouterr().err


def test_the_command_writes_table_result_and_chart(tmp_path, capsys):
    words = ["probe", "scenes", "--preset", "smoke", "--scenes", "30", "--workers", "1"]
    assert cli.main([*words, "--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 0
    assert "object-xy-r2" in capsys.readouterr().out
    assert load(tmp_path / "out" / "probes.json").protocol == "none"
    assert (tmp_path / "out" / "probes.png").exists()


def test_generations_and_dino_stand_in_one_table(tmp_path, capsys):
    from transformers import Dinov2Config, Dinov2Model, VJEPA2Config, VJEPA2Model

    sizes = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    Dinov2Model(Dinov2Config(**sizes, image_size=112)).save_pretrained(tmp_path / "dino")
    small = {"crop_size": 32, "patch_size": 8, "pred_hidden_size": 24, "pred_num_hidden_layers": 1}
    VJEPA2Model(VJEPA2Config(**sizes, **small, pred_num_attention_heads=2)).save_pretrained(
        tmp_path / "old"
    )
    new = (
        Path(__file__).parents[2] / "data/vjepa21-reference/meta_vjepa21_encoder_small.safetensors"
    )
    words = ["probe", "scenes", "--preset", "smoke", "--scenes", "20", "--workers", "1", "--frames"]
    words += ["2", "--encoder", str(tmp_path / "old"), "--compare", str(new)]
    words += [str(tmp_path / "dino"), "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert f"{new.stem}.safetensors: V-JEPA 2.1, the whole file" in printed
    assert f"{tmp_path / 'old'}: V-JEPA 2, encoder, names" in printed and "dino: DINOv2" in printed
    result = load(tmp_path / "out" / "probes.json")
    columns = probe_table(result).columns[2:]
    assert list(columns) == ["old", "random-weights", "pixel-pca", new.name, "dino"]
    for name in ("", f"{new.name}:", "dino:"):
        assert f"{name}object-xy-r2/scenes" in result.summary


def test_windows_longer_than_the_episodes_are_refused(folder):
    with pytest.raises(ForesightError, match="12 steps but a window reaches 20"):
        probes.run_probes(replace(TINY, stride=20), folder)
