"""Only successes are recorded: which they are, that they succeed again, and what is told."""

from __future__ import annotations

import numpy as np
import pytest

from foresight import cli
from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.data.check import check
from foresight.data.dataset import Dataset
from foresight.envs.registry import EnvConfig, blind
from foresight.policies import registry
from foresight.rollout.collect import plan_episodes
from foresight.rollout.episode import run_episode
from foresight.rollout.tries import plan_successful, successful
from robots import ROBOT


def test_the_first_successes_are_kept_and_tries_are_counted():
    specs = plan_episodes(blind(ROBOT), 40, ("ar1:0.9",), 20_000, 12)
    outcomes = [run_episode(spec).success for spec in specs]
    good = [spec.seed for spec, success in zip(specs, outcomes, strict=True) if success]
    assert 2 < len(good) < 40
    kept = successful(specs, len(good) - 1)
    assert [spec.seed for spec in kept] == good[:-1]
    assert sum(spec.tries for spec in kept) == good[-2] - 20_000 + 1
    with pytest.raises(ForesightError, match=f"Only {len(good)} of 40 episodes"):
        successful(specs, 40)


def test_pictures_are_drawn_for_policies_that_may_look(monkeypatch):
    seen = []

    class Looking(Policy):
        def act(self, observation):
            seen.append(sorted(observation.images))
            return np.zeros(2, np.float32)

    monkeypatch.setattr(registry, "_KINDS", dict(registry._KINDS))
    registry.register_policy("looking", lambda name, spec, env_id: Looking())
    for policy, cameras in (
        ("looking", ["front", "wrist"]),
        ("noisy:0.1:looking", ["front", "wrist"]),
    ):
        seen.clear()
        with pytest.raises(ForesightError, match="Only 0"):
            successful(plan_episodes(ROBOT, 1, (policy,), 0, 2), 1)
        assert seen[0] == cameras


def test_who_cannot_tell_is_asked_to():
    env = EnvConfig.of("gym/Pendulum-v1", cameras=())
    with pytest.raises(ForesightError, match=r"info\['success'\]"):
        plan_successful(env, 1, ("random",), max_steps=3)


def test_demonstrations_of_two_tasks_are_recorded(tmp_path, capsys):
    folder = str(tmp_path / "demos")
    command = "collect metaworld/reach metaworld/handle-press --successful --policies expert"
    command += " --size 16 --quality fast --action-repeat 4 --time-limit 12 --seed 20002"
    assert cli.main([*command.split(), "--episodes", "1", "--workers", "1", "--out", folder]) == 0
    dataset = Dataset.open(folder)
    # The script is too slow for the handle of seed 20002.
    assert [(meta.info["seed"], meta.info["tries"]) for meta in dataset.metas] == [
        (20002, 1),
        (20003, 2),
    ]
    assert all(meta.success for meta in dataset.metas)
    assert "2 of 3 tries succeeded and were kept" in capsys.readouterr().out
    assert check(folder, decode=True) == []
    assert list(dataset.spec.cameras.values()) == [(16, 16)] * 2 and dataset.spec.fps == 20
    assert dataset.tasks == ["move the hand to the goal", "press the handle down"]
