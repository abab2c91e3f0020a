"""A small version of the faults recipe: every stage killed once, resumed, compared."""

import pytest

from studies.faults import FaultsConfig, run

pytestmark = pytest.mark.slow


def test_nothing_finished_is_lost_and_the_end_is_the_same(tmp_path, tiny_eyes):
    config = FaultsConfig(
        moments=1, learn_moments=1, episodes=4, steps=30, epochs=4, encoder=tiny_eyes, workers=1
    )
    result = run(config, tmp_path / "faults")
    for stage in ("learn", "collect", "encode", "train"):
        assert result.summary[f"finished-kept/{stage}"]["mean"] == 1
        assert result.summary[f"identical/{stage}"]["mean"] == 1, result.rows
