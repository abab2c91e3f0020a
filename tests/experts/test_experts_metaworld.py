"""Meta-World's scripts: how well they do, with noise too, and what they look into."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs import EnvConfig, make, spec_of
from foresight.experts import has_expert
from foresight.policies import make_policy
from foresight.policies.registry import NamedPolicy
from foresight.rollout import run_episodes


@pytest.mark.parametrize("task", ["push", "drawer-open", "button-press", "door-open"])
def test_the_script_succeeds_wherever_things_are(task):
    env = EnvConfig(f"metaworld/{task}", cameras=())
    episodes = list(run_episodes(env, NamedPolicy("expert", env.id), [0, 1]))
    assert all(episode.success and episode.terminated for episode in episodes)
    assert all(30 < len(episode) < 200 for episode in episodes)
    assert all(abs(episode.action).max() <= 1 for episode in episodes)


def test_a_disturbed_script_says_what_it_would_have_done():
    env = EnvConfig("metaworld/reach", cameras=())
    (episode,) = run_episodes(env, NamedPolicy("noisy:0.6:expert", env.id), [3])
    assert episode.success
    wanted = episode.columns["action.expert"]
    assert wanted.shape == episode.action.shape and abs(wanted - episode.action).max() > 0.05


def test_scripts_belong_to_their_tasks():
    assert has_expert("expert", "metaworld/push") and not has_expert("oracle", "metaworld/push")
    assert not has_expert("expert", "metaworld/nothing")
    spec = spec_of(make("metaworld/push", cameras=[]))
    with pytest.raises(ForesightError, match="Meta-World"):
        make_policy("oracle", spec, "metaworld/push")
    expert = make_policy("expert", spec, "metaworld/push")
    with pytest.raises(ForesightError, match="attach"):
        expert.act(Observation())
    with pytest.raises(ForesightError, match="no task of Meta-World"):
        expert.attach(make("reacher-easy", cameras=[]))
