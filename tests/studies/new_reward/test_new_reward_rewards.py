"""Other rewards beside dm_control's own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.registry import make
from studies.new_reward.environments import paid, paid_config
from studies.new_reward.rewards import REWARDS, new_reward


def played(env, seed=3, steps=40, scale=1.0):
    """Rewards and infos of an episode of random actions."""
    env.reset(seed=seed)
    random = np.random.default_rng(seed)
    told = [env.step((scale * random.uniform(-1, 1, env.action_space.shape)).astype(np.float32))
            for _ in range(steps)]  # fmt: skip
    return np.array([step[1] for step in told]), [step[4] for step in told]


@pytest.mark.parametrize("reward", REWARDS, ids=lambda reward: reward.key)
def test_the_world_goes_on_as_before_and_tells_what_it_had_paid(reward):
    rewards, infos = played(paid_config(reward, cameras=(), action_repeat=2).make())
    before, states = played(make(reward.source, cameras=(), action_repeat=2))
    np.testing.assert_allclose([info["own_reward"] for info in infos], before, atol=1e-12)
    np.testing.assert_array_equal(infos[-1]["state"], states[-1]["state"])
    assert (rewards >= 0).all() and (rewards <= 2).all()


@pytest.mark.parametrize(
    ("key", "task"),
    [
        ("walker-walk-to-stand", "walker-stand"),
        ("walker-walk-to-run", "walker-run"),
        ("reacher-easy-to-small-target", "reacher-hard"),
    ],
)
def test_where_dm_control_has_the_task_it_pays_the_same(key, task):
    for seed in (0, 5):
        ours, _ = played(paid(key, cameras=()), seed)
        theirs, _ = played(make(task, cameras=()), seed)
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def states_of(env, velocity_at=None, value=0.0, position_at=None):
    state = env.get_state()
    if velocity_at is not None:
        state[env.physics.model.nq + velocity_at] = value
    if position_at is not None:
        state[position_at] = value
    return state


def test_speeds_and_angles_are_paid_for_in_the_right_direction():
    finger = paid("finger-spin-to-other-way", cameras=())
    finger.reset(seed=0)
    model = finger.physics.model.ptr
    hinge = int(model.joint("hinge").dofadr[0])
    spins = new_reward("finger-spin-to-other-way").make(model)
    assert [float(spins(states_of(finger, hinge, v), None, None)) for v in (-20, 14, 16)] == [
        0,
        0,
        1,
    ]
    up, place = (
        new_reward("finger-spin-to-hold-up").make(model),
        int(model.joint("hinge").qposadr[0]),
    )
    paid_for = [
        float(up(states_of(finger, position_at=place, value=v), None, None)) for v in (0, 2, np.pi)
    ]
    assert paid_for[0] < 0.01 < paid_for[1] < paid_for[2] == 1.0
    cheetah = paid("cheetah-run-to-backwards", cameras=())
    cheetah.reset(seed=0)
    model = cheetah.physics.model.ptr
    sensors = np.zeros((4, model.nsensordata))
    sensors[:, int(model.sensor("torso_subtreelinvel").adr[0])] = (-6.0, -2.5, 0.0, 2.0)
    states = np.zeros((4, 18))
    back = new_reward("cheetah-run-to-backwards").make(model)
    trot = new_reward("cheetah-run-to-trot").make(model)
    np.testing.assert_allclose(back(states, sensors, None), [1, 0.5, 0, 0])
    assert trot(states, sensors, None).argmax() == 3 and trot(states, sensors, None)[3] == 1


def test_what_does_not_exist_is_a_sentence():
    with pytest.raises(ForesightError, match="no reward 'walker-walk-to-fly': choose from walker"):
        new_reward("walker-walk-to-fly")
    assert replace(REWARDS[0], name="x").key == "walker-walk-to-x"
