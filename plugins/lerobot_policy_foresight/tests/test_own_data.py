"""The study ``own-data`` in its small form: every step of its road, LeRobot's programs, too."""

from studies.own_data.study import LEROBOT, OWN, presets
from studies.registry import Request


def test_recordings_are_learned_served_and_the_same_in_lerobot(tmp_path):
    assert LEROBOT.exists()
    request = Request("own-data", "smoke", run=tmp_path)
    result = request.study.load().reproduce(request)
    assert not result.config["notes"]
    config = presets()["smoke"]
    for name in config.datasets:
        own = [row for row in result.rows if row["task"] == name and "measure" in row]
        found = {row["measure"]: row["value"] for row in own if "condition" not in row}
        assert found["check"] == 0
        assert found["served-difference"] == 0
        assert found["lerobot-difference"] <= 1e-5
    assert found["loop:ticks"] > 0 and found["loop:decisions"] > 0
    played = {row["condition"] for row in result.rows if "measure" not in row}
    assert played == {"served", "local", "eyes-shut", "replay", "zero", "random"}
    assert result.summary[f"success/zero/{OWN}"]["n"] == config.seeds
