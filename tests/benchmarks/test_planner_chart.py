from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from benchmarks.planner_chart import scaling, scaling_chart, straight
from foresight.core.errors import ForesightError


def _rows(sizes):
    return [
        {
            "task": "scaling",
            "measure": "milliseconds",
            "condition": f"samples-{samples}",
            "horizon": horizon,
            "turn": turn,
            "value": 10 + 0.02 * samples * horizon + turn,
        }
        for samples, horizon in sizes
        for turn in range(3)
    ]


SIZES = [(125, 8), (250, 8), (500, 8), (500, 2), (500, 16)]


def test_a_straight_line_is_found_and_a_bent_one_told():
    start, slope, share = straight([1, 2, 5], [5, 7, 13])
    assert (start, slope, share) == pytest.approx((3, 2, 1))
    assert straight([1, 2, 3], [1, -1, 1])[2] == pytest.approx(0)


def test_rounds_are_gathered_by_size():
    found = scaling([{"task": "default", "measure": "milliseconds", "value": 1.0}, *_rows(SIZES)])
    assert list(found) == SIZES
    assert found[500, 2] == pytest.approx([30, 31, 32])


def test_the_chart_is_drawn_and_nothing_measured_is_said(tmp_path):
    scaling_chart(_rows(SIZES), tmp_path / "cost.png")
    assert np.asarray(Image.open(tmp_path / "cost.png")).std() > 1
    for rows in ([], _rows([(125, 8), (250, 8)])):
        with pytest.raises(ForesightError, match="--no-scaling"):
            scaling_chart(rows, tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()
