"""Specs and played episodes of the suite's tasks, for tests of policies and experts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

import foresight.experts  # noqa: F401 (names its policies)
from foresight.core.observation import Observation
from foresight.core.policy import Policy
from foresight.core.simulator import Privileged
from foresight.core.spec import Spec
from foresight.envs.dmc.environment import DMControlEnv
from foresight.policies import make_policy


@functools.cache
def spec_of_task(task: str) -> Spec:
    """Actions and rate of a task."""
    env = DMControlEnv(task, render=None)
    try:
        return env.interface
    finally:
        env.close()


def named(name: str, task: str = "reacher-easy") -> Policy:
    """The policy of a name for a task."""
    return make_policy(name, spec_of_task(task), task)


def begin(policy: Policy, env: Any, seed: int) -> Observation:
    """Reset an environment and a policy in it."""
    observation = Observation.of(env.reset(seed=seed)[0])
    if isinstance(policy, Privileged):
        policy.attach(env)
    policy.reset(observation, seed)
    return observation


def play(
    policy: Policy, task: str, steps: int, seed: int = 0, protocol: str = "seed200", disturb=None
) -> tuple[np.ndarray, np.ndarray]:
    """Actions and rewards of the first steps; ``disturb`` replaces actions by its own."""
    env = DMControlEnv(task, protocol, None)
    observation = begin(policy, env, seed)
    actions, rewards = [], []
    for step in range(steps):
        action = policy.act(observation)
        assert env.action_space.contains(action)
        actions.append(action)
        raw, reward, *_ = env.step(action if disturb is None else disturb(step, action))
        observation = Observation.of(raw)
        rewards.append(reward)
    return np.array(actions), np.array(rewards)
