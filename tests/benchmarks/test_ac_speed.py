from __future__ import annotations

from benchmarks.ac_speed import ACSpeedConfig, ac_speed


def test_both_sides_imagine_the_same_and_the_ratio_is_that_of_their_times():
    rows = ac_speed(ACSpeedConfig(dim=16, width=64, depth=1, grid=2, steps=3, rounds=2))
    values = {(row["measure"], row.get("condition"), row.get("turn")): row["value"] for row in rows}
    assert values["largest-difference", None, None] < 1e-5
    for turn in (0, 1):
        slow = values["rollout-seconds", "uncached", turn]
        fast = values["rollout-seconds", "cached", turn]
        assert values["cached-over-uncached", None, turn] == slow / fast
