from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from taught_worlds import line, line_heads

from foresight.core.errors import ForesightError
from foresight.policies.taught.progress import Progress, ProgressConfig, typical_step

HEADS = line_heads()


def at(position: float) -> torch.Tensor:
    return torch.tensor([position, 0.0, 0.0])


def test_who_does_as_shown_goes_along_at_the_same_pace():
    progress = Progress(line(*range(12)), HEADS, ProgressConfig())
    assert [progress.update(at(float(i))) for i in range(12)] == list(range(12))
    assert progress.done == 1 and not progress.lost


def test_the_threshold_is_that_of_naive_arithmetic():
    shown = line(0.0, 1.0, 3.0, 3.01, 3.01)
    # Steps 1, 2, .01 and 0: the two small ones are no motion.
    assert typical_step(HEADS.space(shown.z)) == pytest.approx(((1 + 4) / 2) ** 0.5)
    progress = Progress(shown, HEADS, ProgressConfig(near=3.0))
    assert progress.threshold == pytest.approx(3 * ((1 + 4) / 2) ** 0.5)


def test_it_skips_what_is_done_already_but_not_beyond_its_window():
    progress = Progress(line(*range(20)), HEADS, ProgressConfig(window=4))
    assert progress.update(at(3.0)) == 3
    assert progress.update(at(15.0)) == 3 and progress.lost  # 15 is out of sight
    assert progress.update(at(6.0)) == 6 and not progress.lost


def test_it_never_goes_back_and_waits_only_so_long():
    config = ProgressConfig(window=3, patience=2, near=1.0)
    progress = Progress(line(*range(10)), HEADS, config)
    progress.update(at(2.0))
    found = [progress.update(at(-5.0)) for _ in range(12)]
    assert found == [2, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 9]


def test_the_end_is_held():
    progress = Progress(line(*range(6)), HEADS, ProgressConfig(look_ahead=2))
    for position in range(6):
        progress.update(at(float(position)))
    assert progress.goal == 5
    assert progress.goals(3).tolist() == [5, 5, 5]


def test_goals_lie_along_the_demonstration_or_at_the_sub_goal_where_one_is_lost():
    progress = Progress(line(*range(20)), HEADS, ProgressConfig(look_ahead=3))
    progress.update(at(4.0))
    assert progress.goals(4).tolist() == [5, 6, 7, 8]
    progress.update(at(90.0))
    assert progress.lost and progress.goals(2).tolist() == [7, 7]


def test_a_learned_distance_can_say_that_one_is_there():
    heads = line_heads()
    torch.nn.init.constant_(heads.reach.net[-1].bias, -50.0)  # everything is at hand
    progress = Progress(line(*range(6)), heads, ProgressConfig(near=0.1))
    progress.update(at(2.4))
    assert not progress.lost and progress.index == 2


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.floats(-3, 12, allow_nan=False), min_size=1, max_size=30),
    window=st.integers(1, 8),
    patience=st.integers(1, 5),
)
def test_progress_is_monotone_bounded_and_within_the_demonstration(steps, window, patience):
    config = ProgressConfig(window=window, patience=patience)
    progress = Progress(line(*range(9)), HEADS, config)
    before = 0
    for position in steps:
        index = progress.update(at(position))
        assert before <= index <= min(before + window, progress.last)
        assert index <= progress.goal <= progress.last
        before = index


def test_settings_and_demonstrations_without_sense_are_refused():
    with pytest.raises(ForesightError, match="window of 0"):
        ProgressConfig(window=0)
    with pytest.raises(ForesightError, match="Nothing moves"):
        Progress(line(1.0, 1.0, 1.0), HEADS, ProgressConfig())
