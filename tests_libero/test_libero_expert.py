"""The demonstrator for LIBERO: it does the tasks, and says what it cannot do."""

from __future__ import annotations

import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs import make, spec_of
from foresight.experts.libero import LiberoExpert
from foresight.policies.registry import make_policy


def play(env, seed):
    """Whether the script succeeds, and in how many decisions."""
    raw, _ = env.reset(seed=seed)
    expert = LiberoExpert(env.unwrapped.task_id, spec_of(env))
    expert.attach(env)
    expert.reset(Observation.of(raw), seed)
    for step in range(1, 300):
        action = expert.act(Observation.of(raw))
        assert env.action_space.contains(action)
        raw, _, terminated, truncated, info = env.step(action)
        if terminated or truncated:
            return info["success"], step
    return False, step


@pytest.mark.parametrize(
    "task", ["spatial/0", "spatial/6", "object/0", "object/1", "spatial-swap/0"]
)
def test_it_does_the_task(task, kept):
    env = kept(task, cameras=())
    done = [play(env, seed) for seed in (0, 1)]
    assert all(success for success, _ in done), done
    assert all(steps > 30 for _, steps in done)


@pytest.mark.parametrize("number", [1, 2, 4, 6, 8])
def test_it_does_what_it_can_of_other_aims(number, kept):
    assert play(kept(f"goal/{number}", cameras=()), 0)[0]


def test_it_does_the_task_where_places_vary(kept):
    env = kept("spatial/0", cameras=(), protocol="wide")
    assert sum(play(env, seed)[0] for seed in range(20_000, 20_004)) >= 3


def test_what_it_cannot_do_is_told(kept):
    env = kept("spatial/0", cameras=())
    spec = spec_of(env)
    with pytest.raises(
        ForesightError, match="of LIBERO these have one: spatial, object, goal/put the bowl"
    ):
        LiberoExpert("libero/goal/0", spec)
    expert = make_policy("expert", spec, env_id="libero/spatial/0")
    assert isinstance(expert, LiberoExpert)
    with pytest.raises(ForesightError, match="attach"):
        expert.act(Observation())
    with pytest.raises(ForesightError, match="no task of LIBERO"):
        expert.attach(make("reacher-easy", cameras=[]))
