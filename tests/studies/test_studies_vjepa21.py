"""The study of V-JEPA 2.1: every output of Meta's code, within what fp32 allows."""

from __future__ import annotations

from studies.registry import Request
from studies.vjepa21 import CASES, PREDICTORS, SUBSETS


def test_every_output_is_reproduced(tmp_path):
    request = Request("vjepa21", "smoke", run=tmp_path)
    result = request.study.load().reproduce(request)
    apart = [row for row in result.rows if row["measure"] == "largest-difference"]
    assert max(row["value"] for row in apart) <= 1e-5
    seen = {(row["condition"], row["task"]) for row in apart}
    assert {("levels", case) for case in CASES} | {("subset", case) for case in SUBSETS} <= seen
    for kind in PREDICTORS:
        for way in ("hub", "train"):
            for case in ("video", "image"):
                assert {(f"{kind}-predicted", f"{case}-{way}"),
                        (f"{kind}-context_out", f"{case}-{way}")} <= seen  # fmt: skip
    speed = {row["condition"] for row in result.rows if row["measure"] == "clips-per-second"}
    assert "torch" in speed and ("native" in speed) != bool(result.config["notes"])
