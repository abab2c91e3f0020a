"""The benchmarks run from start to end at small sizes and write valid results."""

import subprocess
import sys
from pathlib import Path

import pytest

from foresight.evaluation.results import load

ROOT = Path(__file__).parents[2]
COLLECTION = "--size 64 --rounds 1 --episodes 1 --frames 5 --memory-episodes 1 --workers 1"
WINDOWS = "--episodes 8 --length 40 --dim 16 --batch 16 --rounds 1 --turn 2"


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("collection", COLLECTION, "ratio-to-dm-control/reacher-easy"),
        ("window_loader", WINDOWS, "share-of-memcpy/window-16"),
    ],
)
def test_benchmark_runs(name, options, key, tmp_path):
    out = tmp_path / "result.json"
    script = ROOT / "benchmarks" / f"{name}.py"
    command = [sys.executable, str(script), *options.split(), "--out", str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert load(out).summary[key]["mean"] > 0
