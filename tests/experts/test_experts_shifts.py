from __future__ import annotations

import numpy as np
import pytest

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.experts.shifts import DONOR, Shift, movable_goal


def parts(task, kind, seed=3):
    """Start state and goal of an episode."""
    env = DMControlEnv(task, render=None)
    observation, info = Shift(kind)(env, seed)
    state = env.physics.get_state()
    np.testing.assert_array_equal(info["state"], state)
    goal = env.physics.named.data.geom_xpos["target"].copy() if movable_goal(task) else None
    np.testing.assert_array_equal(
        observation["state"],
        np.concatenate([np.ravel(v) for v in env.dm_task.get_observation(env.physics).values()])
        .astype(np.float32),
    )  # fmt: skip
    env.close()
    return state, goal


@pytest.mark.parametrize("task", ["reacher-easy", "point_mass-easy"])
def test_only_start_or_only_goal_changes(task):
    state, goal = parts(task, "faithful")
    moved, same_goal = parts(task, "start-shifted")
    donor, donor_goal = parts(task, "faithful", 3 + DONOR)
    np.testing.assert_array_equal(moved, donor)
    np.testing.assert_array_equal(same_goal, goal)
    same, other_goal = parts(task, "goal-shifted")
    np.testing.assert_array_equal(same, state)
    assert np.abs(other_goal - goal).max() > 0.01
    if task == "reacher-easy":
        np.testing.assert_allclose(other_goal, donor_goal)


@pytest.mark.parametrize("task", ["cartpole-swingup", "walker-walk", "cup-catch"])
def test_tasks_without_a_goal_start_as_another_seed_does(task):
    state, _ = parts(task, "faithful")
    moved, _ = parts(task, "start-shifted")
    donor, _ = parts(task, "faithful", 3 + DONOR)
    np.testing.assert_array_equal(moved, donor)
    assert not np.array_equal(state, moved)
    with pytest.raises(ForesightError, match=f"goal of {task} cannot be moved"):
        parts(task, "goal-shifted")


def test_the_same_seed_begins_alike_and_rewards_follow_the_moved_goal():
    env = DMControlEnv("point_mass-easy", render=None)
    shift = Shift("goal-shifted")
    first = shift(env, 5)[0]["state"]
    np.testing.assert_array_equal(shift(env, 5)[0]["state"], first)
    target = env.physics.named.model.geom_pos["target", ["x", "y"]]
    env.set_state(np.array([*target, 0.0, 0.0]))
    assert env.step(np.zeros(2))[1] == pytest.approx(1.0)
    env.close()
