"""Scripted policies of the planar tasks: they arrive, and who wanders sees all of the world."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs import EnvConfig, make, spec_of
from foresight.envs.planar.tasks import TASKS
from foresight.experts import has_expert
from foresight.policies import make_policy
from foresight.policies.registry import NamedPolicy
from foresight.rollout import run_episodes


@pytest.mark.parametrize("task", TASKS)
def test_experts_arrive_and_random_actions_hardly_do(task):
    env = EnvConfig(task, cameras=())
    shown = list(run_episodes(env, NamedPolicy("expert", task), range(25)))
    assert all(episode.success and episode.terminated for episode in shown)
    drawn = list(run_episodes(env, NamedPolicy("random", task), range(25)))
    assert sum(bool(episode.success) for episode in drawn) <= 5


def test_a_wanderer_goes_on_through_both_rooms():
    env = EnvConfig("tworoom/point", protocol="whole", cameras=())
    (episode,) = run_episodes(env, NamedPolicy("noisy:0.6,40:wanderer", env.id), [20_000])
    places = episode.columns["sim.state"][:, :2]
    assert len(episode) == 100 and np.ptp(places[:, 0]) > 0.6
    assert episode.columns["action.expert"].shape == episode.action.shape


def test_they_know_planar_tasks_alone():
    assert has_expert("expert", "push/puck") and has_expert("wanderer", "tworoom/doors")
    assert not has_expert("oracle", "push/puck") and not has_expert("wanderer", "dmc/reacher-easy")
    spec = spec_of(make("push/puck", cameras=[]))
    with pytest.raises(ForesightError, match="tworoom/point"):
        make_policy("wanderer", spec, "dmc/reacher-easy")
    expert = make_policy("expert", spec, "push/puck")
    with pytest.raises(ForesightError, match="attach"):
        expert.act(Observation())
