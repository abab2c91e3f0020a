"""The vectorised rewards equal dm_control's own, state for state."""

from __future__ import annotations

import os

os.environ.setdefault("MUJOCO_GL", "disable")

import numpy as np
import pytest
from dm_control import suite

from foresight.core.errors import ForesightError
from foresight.experts.rewards import batched_reward, rewarded_tasks

TASKS = {
    "reacher-easy": ("reacher", "easy"),
    "point_mass-easy": ("point_mass", "easy"),
    "cartpole-swingup": ("cartpole", "swingup"),
    "walker-walk": ("walker", "walk"),
    "cheetah-run": ("cheetah", "run"),
    "finger-spin": ("finger", "spin"),
    "hopper-hop": ("hopper", "hop"),
    "cup-catch": ("ball_in_cup", "catch"),
}


def load(task, seed):
    domain, name = TASKS[task]
    env = suite.load(domain, name, task_kwargs={"random": seed})
    env.reset()
    return env


def rewarding_state(task, physics, rng):
    """Put the simulator somewhere near the states that pay."""
    q, v = physics.data.qpos, physics.data.qvel
    q[:] += rng.normal(0, 0.05, q.shape)
    v[:] = rng.normal(0, 1.0, v.shape)
    if task == "reacher-easy":
        x, y = physics.named.model.geom_pos["target", :2]
        q[:] = np.arctan2(y, x) + rng.normal(0, 0.4), rng.normal(1.2, 0.6)
    elif task == "point_mass-easy":
        q[:] = rng.normal(0, 0.015, 2)
    elif task == "cartpole-swingup":
        q[:] = rng.normal(0, 0.8, 2)
    elif task == "walker-walk":
        q[:3] = rng.normal(0, 0.3, 3)
        v[1] = rng.normal(1, 0.7)
    elif task == "cheetah-run":
        v[0] = rng.normal(6, 4)
    elif task == "finger-spin":
        v[2] = rng.normal(-15, 6)
    elif task == "hopper-hop":
        q[:] = 0, rng.normal(0, 0.1), *rng.normal(0, 0.4, 5)
        q[5] = abs(q[5]) + 0.2
        v[0] = rng.normal(1.5, 1)
    else:
        q[2:] = q[:2] + rng.normal((0, 0.35), 0.02)


def visit(task, seed, scatter):
    """Real environment steps: states, sensors, controls and dm_control's rewards."""
    env, rng = load(task, seed), np.random.default_rng(seed)
    spec = env.action_spec()
    rows = []
    for step in range(60):
        if scatter and step % 3 == 0:
            with env.physics.reset_context():
                rewarding_state(task, env.physics, rng)
        action = rng.uniform(-1, 1, spec.shape) * (1.0 if step % 5 else 0.0)
        reward = env.step(action).reward
        data = env.physics.data
        rows.append((np.r_[data.qpos, data.qvel, data.act], data.sensordata.copy(), action, reward))
    return env, *(np.array(column) for column in zip(*rows, strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_rewards_equal_dm_control(task):
    seen = []
    for seed in range(3):
        for scatter in (False, True):
            env, states, sensors, ctrl, rewards = visit(task, seed, scatter)
            reward = batched_reward(task, env.physics.model.ptr)
            np.testing.assert_allclose(reward(states, sensors, ctrl), rewards, atol=1e-6)
            seen.extend(rewards)
    # The test means something only where rewards vary.
    assert max(seen) > 0.3 and max(seen) - min(seen) > 0.3


@pytest.mark.parametrize("task", TASKS)
def test_any_leading_shape(task):
    env, states, sensors, ctrl, _ = visit(task, 1, True)
    reward = batched_reward(task, env.physics.model.ptr)
    flat = reward(states, sensors, ctrl)
    folded = reward(
        states.reshape(4, 15, -1), sensors.reshape(4, 15, sensors.shape[1]), ctrl.reshape(4, 15, -1)
    )
    np.testing.assert_array_equal(folded, flat.reshape(4, 15))


def test_reads_what_the_episode_randomised():
    env, states, sensors, ctrl, _ = visit("reacher-easy", 0, True)
    model = env.physics.model.ptr
    before = batched_reward("reacher-easy", model)(states, sensors, ctrl)
    env.physics.named.model.geom_pos["target", :2] = 5.0
    after = batched_reward("reacher-easy", model)(states, sensors, ctrl)
    assert before.any() and not after.any()


def test_unknown_task_names_the_known_ones():
    with pytest.raises(ForesightError, match=r"humanoid-run.*cartpole-swingup.*walker-walk"):
        batched_reward("humanoid-run", None)


def test_alias_of_the_cup():
    assert set(rewarded_tasks()) == set(TASKS)
    env = load("cup-catch", 0)
    assert batched_reward("ball_in_cup-catch", env.physics.model.ptr) is not None
