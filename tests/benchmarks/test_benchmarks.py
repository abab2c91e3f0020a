"""The benchmarks run from start to end at small sizes and write valid results."""

import pytest

from foresight import cli
from foresight.evaluation.results import load
from spot_files import needs_spot

pytestmark = pytest.mark.slow

COLLECTION = "--size 64 --rounds 1 --episodes 1 --frames 5 --memory-episodes 1 --workers 1"
SPOT = "--sizes 32 --rounds 1 --frames 3"
WINDOWS = "--episodes 8 --length 40 --dim 16 --batch 16 --rounds 1 --turn 2"
LEWM = "--size mini --rounds 1 --samples 8 --elites 2 --iterations 1"


@pytest.mark.parametrize(
    ("name", "options", "key"),
    [
        ("lewm", LEWM, "plain-over-ours/lewm"),
        ("collect", COLLECTION, "ratio-to-dm-control/reacher-easy"),
        ("loader", WINDOWS, "share-of-memcpy/window-16"),
        pytest.param("spot", SPOT, "hulls:times-as-published/32-pixels", marks=needs_spot),
    ],
)
def test_benchmark_runs(name, options, key, tmp_path):
    out = tmp_path / "result.json"
    assert cli.main(["bench", name, *options.split(), "--out", str(out)]) == 0
    assert load(out).summary[key]["mean"] > 0
