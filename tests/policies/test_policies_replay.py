"""Open-loop replay of demonstrations of the fake robot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fake_robot import fake_robot
from foresight import cli
from foresight.core.errors import ForesightError
from foresight.data.dataset import Dataset
from foresight.envs.interface import spec_of
from foresight.evaluation.results import load as load_result
from foresight.policies import NamedPolicy, make_policy
from foresight.rollout import run_episodes
from made_once import made_once
from robots import ROBOT, Driver

SEEDS = range(40, 44)


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> Path:
    def make(folder: Path) -> None:
        with Dataset.create(folder / "data", spec_of(fake_robot())) as data:
            for episode in run_episodes(ROBOT, Driver, SEEDS):
                data.append(episode)

    return made_once(tmp_path_factory, "replay", make) / "data"


def test_the_nearest_beginning_is_replayed(shown):
    """From the start of each demonstration its own actions lead to the goal again."""
    data = Dataset.open(shown)
    for place, episode in enumerate(run_episodes(ROBOT, NamedPolicy(f"replay:{shown}"), SEEDS)):
        assert episode.info["notes"] == {"replayed": place} and episode.success
        np.testing.assert_array_equal(episode.action, data.episode(place).action)


def test_one_demonstration_or_any(shown):
    data = Dataset.open(shown)
    (episode,) = run_episodes(ROBOT, NamedPolicy(f"replay:{shown}:2"), [7], max_steps=12)
    actions = data.episode(2).action
    assert len(episode) > len(actions)
    np.testing.assert_array_equal(episode.action[: len(actions)], actions)
    np.testing.assert_array_equal(episode.action[-1], actions[-1])  # held
    drawn = [
        episode.info["notes"]["replayed"]
        for _ in range(2)
        for episode in run_episodes(
            ROBOT, NamedPolicy(f"replay:{shown}:random"), range(8), max_steps=1
        )
    ]
    assert drawn[:8] == drawn[8:] and len(set(drawn)) > 1


def test_the_verb_evaluates_it(shown, tmp_path):
    out = tmp_path / "result.json"
    words = ["evaluate", f"replay:{shown}", "--env", "fake_robot:FakeRobot", "--seeds", "2"]
    words += ["--baselines", "zero", "--workers", "1", "--out", str(out)]
    assert cli.main(words) == 0
    assert set(load_result(out).conditions) == {"replay", "zero"}


@pytest.mark.parametrize(
    ("end", "words"),
    [(":9", "'9' is no episode"), (":best", "'best' is no episode"), ("/none", "none")],
)
def test_what_cannot_be_replayed(shown, end, words):
    with pytest.raises(ForesightError, match=words):
        make_policy(f"replay:{shown}{end}", spec_of(fake_robot()))
    with pytest.raises(ForesightError, match="names no dataset"):
        make_policy("replay", spec_of(fake_robot()))
