"""The days of V-JEPA 2-AC, through the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from foresight import cli
from foresight.diagnostics.drift import Track
from foresight.evaluation.results import load, make_result
from studies.ac import zero_shot_rows


@pytest.mark.parametrize("name", ["day36-zero-shot", "day37-drift"])
def test_runs_without_a_checkpoint_and_says_so(name, tmp_path, capsys):
    words = ["reproduce", name, "--preset", "smoke", "--run", str(tmp_path), "--workers", "1"]
    assert cli.main(words) == 0
    printed = capsys.readouterr().out
    assert "the source documents: " in printed
    assert {"day36-zero-shot": "0.87", "day37-drift": "0.4"}[name] in printed
    assert "random weights was made on the spot" in printed
    result = load(tmp_path / f"{name}.json")
    key = {"day36-zero-shot": "zero-shot-cosine/reacher-easy", "day37-drift": "cosine-raw-open/h5"}
    assert result.summary[key[name]]["n"] == 2
    assert -1 <= result.summary[key[name]]["mean"] <= 1
    assert 0.5 < result.summary[f"persistence:{key[name]}"]["mean"] <= 1


def test_a_clip_of_ones_own(tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (30, 72, 96, 3), dtype=np.uint8)
    np.save(tmp_path / "mine.npy", frames)
    words = ["--clip", str(tmp_path / "mine.npy"), "--preset", "smoke", "--run", str(tmp_path)]
    assert cli.main(["reproduce", "day36-zero-shot", *words]) == 0
    result = load(tmp_path / "day36-zero-shot.json")
    assert result.summary["zero-shot-cosine/mine"]["n"] == 1


def test_zero_shot_numbers_of_a_known_forecaster():
    class Copy:
        def closed_loop(self, seen, controls):
            return seen

    x = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    tracks = [Track(x, x, torch.zeros(6, 14)), Track(-x, -x, torch.zeros(6, 14))]
    summary = make_result("x", {}, "none", zero_shot_rows(Copy(), tracks, "t")).summary
    expected = np.mean(
        [
            float(a @ b / a.norm() / b.norm())
            for t in range(5)
            for a, b in zip(x[t], x[t + 1], strict=True)
        ]
    )
    assert summary["zero-shot-cosine/t"]["mean"] == pytest.approx(expected, abs=1e-6)
    for measure in ("zero-shot-cosine/t", "zero-shot-centred-cosine/t"):
        assert summary[measure] == summary[f"persistence:{measure}"]
    assert summary["mean:zero-shot-centred-cosine/t"]["mean"] == 0
