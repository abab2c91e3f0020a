"""Spot walks: by its joints, by commands, and not where its gait cannot."""

from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.envs import EnvConfig, make, spec_of
from foresight.experts import has_expert
from foresight.experts.spot import MarkExpert
from foresight.policies import make_policy
from foresight.rollout.collect import default_policies
from spot_files import needs_spot


def walked(env_id, options, seed, name="expert"):
    """Mean velocity after two seconds, and mean reward of a control step."""
    env = EnvConfig.of(env_id, cameras=(), protocol="walk4", switch=0.0, **options).make()
    policy = make_policy(name, spec_of(env), env_id)
    raw, _ = env.reset(seed=seed)
    policy.reset(Observation.of(raw), seed)
    velocities, total, over = [], 0.0, False
    while not over:
        raw, reward, fell, over, info = env.step(policy.act(Observation.of(raw)))
        assert not fell
        total += reward
        if info["time"] > 2.0:
            velocities.append(env.velocity)
    return np.mean(velocities, axis=0), env.asked, total / 200


@needs_spot
@pytest.mark.parametrize("seed", [1, 3])
def test_three_ways_to_walk_as_the_joystick_says(seed):
    for env_id, options in (
        ("spot/joints", {}),
        ("spot/joints", {"chunk": 5}),
        ("spot/command", {}),
    ):
        velocity, asked, reward = walked(env_id, options, seed)
        assert velocity == pytest.approx(asked, abs=0.15)
        assert reward > walked(env_id, options, seed, "zero")[2]


@needs_spot
def test_the_expert_needs_no_look_and_walks_alike_inside_and_outside():
    inside, outside = (
        make(e, cameras=[], **o) for e, o in (("spot/command", {}), ("spot/joints", {"chunk": 5}))
    )
    policy = make_policy("expert", spec_of(outside), "spot/joints")
    raw, _ = outside.reset(seed=3)
    policy.reset(Observation.of(raw), 3)
    inside.reset(seed=3)
    for _ in range(30):
        command = raw["state"][-3:]
        raw = outside.step(policy.act(Observation.of(raw)))[0]
        same = inside.step(command)[0]
    assert raw["state"] == pytest.approx(same["state"], abs=1e-4)


@needs_spot
def test_joints_that_are_held_too_long_are_refused():
    env = make("spot/joints", cameras=[], action_repeat=5)
    with pytest.raises(ForesightError, match="leave the action repeat at 1"):
        make_policy("expert", spec_of(env), "spot/joints")


def test_it_is_known_for_spot_alone():
    assert has_expert("expert", "spot/joints") and has_expert("expert", "spot/command")
    assert not has_expert("oracle", "spot/joints") and not has_expert("expert", "spot/fly")
    assert "eps:0.3:expert" in default_policies("spot/joints")
    with pytest.raises(ForesightError, match="reads the joystick"):
        make_policy("expert", spec_of(foreign()), "spot/joints")


def foreign():
    from foresight.envs import make as make_env

    return make_env("fake_robot:FakeRobot")


@needs_spot
@pytest.mark.parametrize("aim", ["turn", "sidestep", "go-to"])
def test_who_reads_where_the_mark_is_does_what_is_paid_for(aim):
    env = make("spot/mark", cameras=[], aim=aim, protocol="walk10")
    policy = MarkExpert(spec_of(env))
    raw, _ = env.reset(seed=3)
    with pytest.raises(ForesightError, match="call attach"):
        policy.act(Observation.of(raw))
    policy.attach(env)
    policy.reset(Observation.of(raw), 3)
    rewards = [env.step(policy.act(Observation.of(raw)))[1] for _ in range(80)]
    assert rewards[0] < 2 and np.mean(rewards[-10:]) > 4.5  # of five control steps


def test_what_has_no_mark_is_refused():
    with pytest.raises(ForesightError, match="has no mark that could be read"):
        MarkExpert(make("cartpole-swingup", cameras=()).unwrapped.interface).attach(
            make("cartpole-swingup", cameras=())
        )
