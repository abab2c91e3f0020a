"""A robot that is known by heart: a linear system, its exact model, an agent that plans in it."""

from __future__ import annotations

from types import SimpleNamespace

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from foresight.core.observation import Observation
from foresight.envs.interface import spec_of
from foresight.envs.wrap import wrap

TURN = np.array([[0.98, 0.15, 0.0], [-0.15, 0.97, 0.1], [0.0, 0.05, 0.9]])
PUSH = np.array([[0.0, 0.1], [0.2, 0.0], [0.05, -0.15]])
GAIN = torch.tensor([[0.4, 1.2, 0.3], [0.5, -0.2, -0.9]])
LIMIT = 60


class LinearRobot(gymnasium.Env):
    """``x' = TURN x + PUSH a``; the state is felt, nothing is seen. The reward is ``-|x|²``."""

    metadata = {"render_modes": [], "render_fps": 20}  # noqa: RUF012 (as Gymnasium's)

    def __init__(self) -> None:
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = spaces.Dict({"x": spaces.Box(-9, 9, (3,), np.float32)})
        self.did: list[np.ndarray] = []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.uniform(-1, 1, 3)
        self.did = []
        return self._observe(), {}

    def step(self, action):
        self.did.append(np.array(action, np.float32))
        self.x = TURN @ self.x + PUSH @ np.asarray(action, np.float64)
        over = len(self.did) >= LIMIT
        return self._observe(), -float(self.x @ self.x), False, over, {}

    def _observe(self):
        return {"x": self.x.astype(np.float32)}


def linear_robot() -> gymnasium.Env:
    """The robot behind Foresight's face."""
    return wrap(LinearRobot())


class Known(nn.Module):
    """The exact model of ``hold`` steps under one action, as an ensemble that agrees."""

    def __init__(self, hold: int = 1, members: int = 2) -> None:
        super().__init__()
        self.members = members
        turn, push = np.eye(3), np.zeros((3, 2))
        for _ in range(hold):
            turn, push = TURN @ turn, TURN @ push + PUSH
        self.turn, self.push = (torch.tensor(each, dtype=torch.float32) for each in (turn, push))

    def forward(self, z, actions):
        path = [z]
        for action in actions.unbind(-2):
            path.append(path[-1] @ self.turn.T + action @ self.push.T)
        return torch.stack(path, -2).expand(self.members, *path[0].shape[:-1], len(path), 3)


class Controller:
    """In the place of a planner: the action follows from the state that it is given."""

    def __init__(self) -> None:
        self.asked: list[torch.Tensor] = []

    def reset(self, seed=None) -> None:
        self.asked = []

    def act(self, stacked, explore=False, ahead=None):
        z = stacked if ahead is None else ahead(stacked)
        self.asked.append(z)
        return (-z @ GAIN.T).clamp(-1, 1)


def known_model(hold: int):
    """What an agent needs of a world model, with the state as it is felt and the exact dynamics."""
    felt = SimpleNamespace(proprio=True, stride=1, history=1)
    state = SimpleNamespace(config=felt, compress=lambda _: None, join=lambda _, proprio: proprio)
    config = SimpleNamespace(
        expect_encoder=lambda *_: None,
        cameras=(),
        repeat=hold,
        actions=2,
        action_low=(-1.0, -1.0),
        action_high=(1.0, 1.0),
        state=felt,
    )
    return SimpleNamespace(config=config, state=state, dynamics=Known(hold))


def agent(kind, hold: int, **more):
    """An agent of a kind of `MPCPolicy` with the exact model."""
    eyes = SimpleNamespace(fingerprint="none")
    return kind(known_model(hold), eyes, None, planner=Controller(), **more)


def live(policy, env, steps: int, seed: int = 0, idle: int = 0, tells: bool = True):
    """What the robot truly did, step by step; the policy begins after ``idle`` idle steps."""
    assert len(spec_of(env).action) == 2
    raw, info = env.reset(seed=seed)
    for _ in range(idle):
        raw, *_, info = env.step(np.zeros(2, np.float32))
    told = {} if idle else info
    policy.reset(Observation.of(raw), seed)
    for _ in range(steps):
        action = policy.act(Observation.of(raw, info=told if tells else None))
        raw, *_, told = env.step(action)
    return np.array(env.unwrapped.did)
