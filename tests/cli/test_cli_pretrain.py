"""``foresight pretrain``: help, a whole tiny run, and one sentence for what a user gets wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foresight import load_encoder
from foresight.cli import main, parse
from foresight.core.episode import Episode
from foresight.core.spec import Spec, numbered_axes
from foresight.data.dataset import Dataset

TINY = [
    *("--updates", "2", "--batch", "2", "--frames", "2", "4", "--dim", "24", "--depth", "1"),
    *("--heads", "2", "--predictor.dim", "12", "--predictor.depth", "1", "--predictor.heads", "1"),
    *("--loss.dense", "0.5", "--probe-every", "0", "--log-every", "1"),
]


LEROBOT = Path(__file__).parents[1] / "data" / "lerobot"


def noise(folder, height=16, width=16):
    random = np.random.default_rng(0)
    one = numbered_axes("n", 1)
    with Dataset.create(folder, Spec({"front": (height, width)}, one, one, fps=50)) as dataset:
        for _ in range(3):
            frames = random.integers(0, 256, (6, height, width, 3), dtype=np.uint8)
            none = np.zeros((6, 1), np.float32)
            dataset.append(Episode({"front": frames}, none, none, None, False, "noise", 50))
    return str(folder)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_help_names_every_setting(capsys):
    with pytest.raises(SystemExit) as end:
        main(["pretrain", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    for word in ("DATASETS", "--out", "--minutes", "--loss.pixels", "--predictor.depth"):
        assert word in said.replace("[PATH [PATH ...]]", "DATASETS")
    _, config = parse(["pretrain", "a", "b", "--out", "c", "--masks", "close", "wide"])
    assert [path.name for path in config.datasets] == ["a", "b"]
    assert config.training.masks == ("close", "wide")
    assert config.training.minutes == 10


def test_a_tiny_training_writes_an_encoder(tmp_path, home, capsys):
    words = ["pretrain", noise(tmp_path / "data"), "--out", str(tmp_path / "eyes"), *TINY]
    assert main(words) == 0
    assert f"{tmp_path / 'eyes'}: an encoder for frames of 16x16" in capsys.readouterr().out
    encoder = load_encoder(tmp_path / "eyes", dtype="float32")
    assert (encoder.patch, encoder.dim, encoder.image_size) == (8, 24, 16)
    assert encoder.encode(np.zeros((1, 4, 16, 16, 3), np.uint8)).shape == (1, 2, 2, 2, 24)
    assert (tmp_path / "eyes" / "metrics.jsonl").read_text().count("\n") == 2
    assert len(list((home / "frames").glob("*.u8"))) == 1
    assert main(words) == 0  # finished: nothing is trained again
    assert main([*words, "--seed", "1"]) == 2
    assert "other data or settings" in capsys.readouterr().err


def test_what_a_user_gets_wrong_is_one_sentence(tmp_path, capsys):
    data, wide = noise(tmp_path / "data"), noise(tmp_path / "wide", 16, 32)
    out = ["--out", str(tmp_path / "eyes"), *TINY]
    for words, said in (
        ([str(tmp_path / "nothing"), *out], "nothing"),
        ([data, *out, "--masks", "tall"], "Unknown mask 'tall'"),
        ([data, *out, "--heads", "5"], "5 heads over 24 channels"),
        ([data, *out, "--predictor.heads", "5"], "5 heads over 12 channels"),
        ([data, *out, "--patch", "5"], "do not fit patches of 5"),
        ([data, *out, "--device", "gpu"], "device 'gpu' is not available"),
        ([data, wide, *out], "frames of different sizes"),
        ([wide, *out], "choose square frames or make them so with --size"),
        ([wide, *out, "--size", "20"], "do not fit patches of 8"),
        ([wide, *out, "--camera", "wrist"], "has no camera 'wrist'"),
    ):
        assert main(["pretrain", *words]) == 2, words
        error = capsys.readouterr().err
        assert said in error
        assert error.startswith("foresight: ")
        assert error.count("\n") == 1
    assert not (tmp_path / "eyes").exists()


def test_another_programs_dataset_of_two_wide_cameras(tmp_path, capsys):
    words = ["pretrain", str(LEROBOT / "two-cameras"), "--out", str(tmp_path / "e"), *TINY]
    assert main([*words, "--camera", "wrist", "--size", "16", "--fit", "crop"]) == 0
    assert "an encoder for frames of 16x16" in capsys.readouterr().out
    assert load_encoder(tmp_path / "e").image_size == 16
    assert main([*words, "--size", "16"]) == 2  # of the other camera: another training
    assert "other data or settings" in capsys.readouterr().err
