"""``foresight features``: from a dataset to the table, the warnings and the file."""

from __future__ import annotations

from pathlib import Path

from benchmarks.encoder_speed import moving_squares
from foresight.cli import main
from foresight.evaluation.results import load

LEROBOT = Path(__file__).parents[1] / "data" / "lerobot"


def test_table_warnings_and_file(tmp_path, capsys):
    moving_squares(tmp_path / "data", 64, 36, length=9)
    out = tmp_path / "features.json"
    words = ["features", str(tmp_path / "data"), "--readout", "tubelet:grid=2", "difference:grid=1"]
    assert (
        main([*words, "--conditioning", "pca", "--dim", "4", "--episodes", "3", "--out", str(out)])
        == 0
    )
    said = capsys.readouterr().out
    assert "effective rank" in said and "cosine random" in said
    assert "warning tubelet:grid=2, raw: random steps have a cosine of" in said
    summary = load(out).summary
    assert summary["tubelet:grid=2:raw:norm/squares"]["mean"] > 0
    assert summary["difference:grid=1:pca:effective-rank/squares"]["mean"] > 1


def test_an_unknown_readout_is_one_sentence(tmp_path, capsys):
    moving_squares(tmp_path / "data", 64, 9, length=9)
    assert main(["features", str(tmp_path / "data"), "--readout", "max"]) == 2
    assert "Unknown readout 'max'" in capsys.readouterr().err


def test_another_programs_datasets(tmp_path, capsys):
    for name, camera in (("two-cameras", "wrist"), ("many-short-episodes", None)):
        out = tmp_path / f"{name}.json"
        words = ["features", str(LEROBOT / name), "--cache", str(tmp_path), "--episodes", "3"]
        words += ["--readout", "tubelet:grid=1"]
        words += ["--camera", camera] if camera else []
        assert main([*words, "--out", str(out)]) == 0
        assert load(out).summary[f"tubelet:grid=1:raw:norm/{name}"]["mean"] > 0
    assert main([*words, "--camera", "wrist"]) == 2
    assert "no camera 'wrist': choose one of front" in capsys.readouterr().err
