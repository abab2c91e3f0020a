"""Verdicts follow from intervals alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foresight.core.errors import ForesightError
from studies.claims import SIDES, Claim, judge, judge_all

number = st.floats(-100, 100, allow_nan=False)


def entry(low, high, n=20):
    return {"mean": (low + high) / 2, "low": low, "high": high, "n": n}


@pytest.mark.parametrize(
    ("side", "outcomes"),
    [
        ("above", ("survives", "fails", "open")),
        ("below", ("fails", "survives", "open")),
        ("not above", ("fails", "survives", "open")),
        ("not below", ("survives", "fails", "open")),
    ],
)
def test_an_interval_clear_of_the_bound_decides(side, outcomes):
    claim = Claim("says", "measured", "k/t", side, 5.0)
    for ends, outcome in zip(((6, 8), (2, 4), (4, 6)), outcomes, strict=True):
        verdict = judge(claim, {"k/t": entry(*ends)})
        assert verdict.outcome == outcome
        assert (verdict.low, verdict.high) == ends


@pytest.mark.parametrize("ends", [(0.0, 0.0), (-1e-12, 1e-22)])
def test_a_bound_that_is_touched(ends):
    nothing = {"k/t": entry(*ends)}  # a task on which nobody earns anything
    outcomes = {side: judge(Claim("s", "m", "k/t", side), nothing).outcome for side in SIDES}
    assert outcomes == {
        "above": "fails",
        "below": "fails",
        "not above": "survives",
        "not below": "survives",
    }


@settings(deadline=None)
@given(number, number, number)
def test_opposites_never_agree(a, b, bound):
    summary = {"k/t": entry(min(a, b), max(a, b))}
    for side in ("above", "below"):
        one = judge(Claim("s", "m", "k/t", side, bound), summary).outcome
        other = judge(Claim("s", "m", "k/t", f"not {side}", bound), summary).outcome
        assert {one, other} in ({"survives", "fails"}, {"open"})


def test_one_measurement_decides_nothing():
    assert judge(Claim("s", "m", "k/t"), {"k/t": entry(7.0, 7.0, n=1)}).outcome == "open"


def test_what_was_not_measured_has_no_verdict():
    known, unknown = Claim("s", "m", "k/t"), Claim("s", "m", "other/t")
    assert judge(unknown, {"k/t": entry(1, 2)}) is None
    assert [v.claim for v in judge_all([unknown, known], {"k/t": entry(1, 2)})] == [known]


def test_an_unknown_side_is_refused():
    with pytest.raises(ForesightError, match="'beside'"):
        Claim("s", "m", "k/t", "beside")
