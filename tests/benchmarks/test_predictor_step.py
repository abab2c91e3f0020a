from __future__ import annotations

from benchmarks.predictor_step import PredictorBench, predictor_step
from foresight import cli
from foresight.evaluation.results import load


def test_the_loss_falls_and_the_cache_is_exact():
    rows = predictor_step(PredictorBench("tiny", batch=2, frames=4, updates=20, horizon=6))
    losses = [row["value"] for row in rows if row["measure"] == "loss"]
    assert len(losses) == 20 and losses[-1] < 0.95 * losses[0]
    values = {row["measure"]: row["value"] for row in rows}
    assert values["largest-difference"] < 1e-5
    assert values["peak-gib"] >= values["step-gib"] >= 0 and values["gflops"] > 0


def test_it_is_written(tmp_path, capsys):
    out = tmp_path / "step.json"
    words = ["--size", "tiny", "--batch", "1", "--frames", "4", "--updates", "2", "--horizon", "2"]
    assert cli.main(["bench", "predictor", *words, "--out", str(out)]) == 0
    assert "loss:" in capsys.readouterr().out
    assert load(out).summary["update-seconds/tiny"]["n"] == 1
