"""A small version of the faults recipe: every stage killed once, resumed, compared."""

import pytest

from studies.faults import FaultsConfig, run

pytestmark = pytest.mark.slow


def test_nothing_finished_is_lost_and_the_end_is_the_same(tmp_path, tiny_eyes):
    config = FaultsConfig(
        moments=1, learn_moments=1, episodes=4, steps=30, epochs=4, encoder=tiny_eyes, workers=1
    )
    result = run(config, tmp_path / "faults")
    assert [row for row in result.rows if row["value"] != 1] == []
    assert {row["task"] for row in result.rows} == {"learn", "collect", "encode", "train"}
