from __future__ import annotations

import time

import numpy as np
import pytest

from foresight.core import stopwatch
from foresight.core.stopwatch import Stopwatch


def test_stages_add_up_and_count_in_those_around_them():
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("collect"):
            with watch.stage("encode"):
                time.sleep(0.01)
            time.sleep(0.005)
    with pytest.raises(KeyError), watch.stage("learn"):
        raise KeyError
    assert set(watch.seconds) == {"collect", "collect/encode", "learn"}
    assert watch.seconds["collect/encode"] >= 0.02
    assert watch.seconds["collect"] >= watch.seconds["collect/encode"] + 0.01
    with watch.stage("learn"):  # a failure leaves nobody inside
        pass
    assert "learn" in watch.seconds and "learn/learn" not in watch.seconds


def test_memory_is_told_of_the_stage_that_held_it(monkeypatch):
    held, peak = [1.0], [2.0]
    monkeypatch.setattr(stopwatch, "held_gib", lambda: held[0])
    monkeypatch.setattr(stopwatch, "peak_gib", lambda: peak[0])
    watch = Stopwatch()
    with watch.stage("a"), watch.stage("small"):
        pass
    with watch.stage("a"), watch.stage("large"):
        peak[0] = 3.0  # held for a moment, and given back
    assert watch.peaks == {"a": 3.0, "a/small": 1.0, "a/large": 3.0}


def test_real_memory_is_in_gib():
    watch = Stopwatch()
    with watch.stage("large"):
        block = np.ones(2**27, np.uint8)  # 1/8 GiB
    assert watch.peaks["large"] >= len(block) / 2**30
    assert watch.peaks["large"] < 64


def test_it_counts_on_from_what_was_logged():
    watch = Stopwatch()
    logged = {"step": 3, "seconds/learn": 5.0, "peak-gib/learn": 99.0, "seconds/odd": None}
    watch.go_on(logged)
    with watch.stage("learn"):
        pass
    numbers = watch.numbers()
    assert set(numbers) == {"seconds/learn", "peak-gib/learn"}
    assert 5 <= numbers["seconds/learn"] < 6 and numbers["peak-gib/learn"] == 99
