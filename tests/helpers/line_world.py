"""A bead on a line, and trainings of agents that learn to hold it in its place within seconds."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from foresight.envs.registry import EnvConfig
from foresight.rollout.vector import VectorRollout
from foresight.training.ppo import PPOTraining
from foresight.training.reduced_dreamer import DreamerConfig, DreamerTraining
from foresight.training.replay import Replay
from foresight.worldmodel.rssm.config import RSSMSizes

LIMIT = 12
ENV = EnvConfig("line_world:LineWorld")


class LineWorld(gymnasium.Env[Any, Any]):
    """``x' = x + 0.5 a`` within ±1; the nearer to .4, the more is earned.

    Args:
        falls: whether an episode ends at once where the bead meets an end.
    """

    metadata = {"render_modes": [], "render_fps": 10}  # noqa: RUF012 (as Gymnasium's)
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    observation_space = spaces.Dict({"x": spaces.Box(-1, 1, (2,), np.float32)})
    time_limit = LIMIT

    def __init__(self, falls: bool = False) -> None:
        self.falls = falls

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.count = float(self.np_random.uniform(-1, 1)), 0
        return self._see(), {}

    def step(self, action):
        self.x = float(np.clip(self.x + 0.5 * action[0], -1, 1))
        self.count += 1
        over = self.falls and abs(self.x) == 1
        return self._see(), 1 - abs(self.x - 0.4) / 1.4, over, self.count == LIMIT and not over, {}

    def _see(self):
        return {"x": np.array([self.x, self.x**2], np.float32)}


SIZES = RSSMSizes(deter=16, groups=4, classes=4, hidden=16, bins=21)


def dreamer(decisions: int, **changes: Any) -> DreamerTraining:
    """A training of the smallest Dreamer."""
    learner = DreamerConfig(
        batch=32, length=3, ratio=16, lr=1e-2, actor_lr=5e-3, critic_lr=1e-2, barlow=1.0, horizon=3,
        dreams=0, discount=0.5, tau=0.1, entropy=1e-2,
    )  # fmt: skip
    known = {"parallel": 4, "random_rounds": 4, "save_every": 2, "sizes": SIZES}
    return DreamerTraining(
        changes.pop("env", ENV), decisions, **{**known, "learner": learner, **changes}
    )


def ppo(decisions: int, **changes: Any) -> PPOTraining:
    """A training of the smallest PPO."""
    known = {"parallel": 4, "length": LIMIT, "hidden": (16,), "batch": 24, "save_every": 2}
    return PPOTraining(ENV, decisions, **{**known, "lr": 3e-3, "discount": 0.9, **changes})


def played(policy, seeds=range(100, 116)) -> float:
    """Mean return of a policy."""
    with VectorRollout(ENV, len(seeds)) as rollout:
        return float(np.mean([one.return_ for one in rollout.run(policy, list(seeds))]))


def lived(episodes: int) -> Replay:
    """Random episodes as the Dreamer replays them."""
    replay, random = Replay(episodes * LIMIT, 0, 1, 2), np.random.default_rng(0)
    world = LineWorld()
    for seed in range(episodes):
        seen, _ = world.reset(seed=seed)
        parts: list[tuple[np.ndarray, np.ndarray, float]] = []
        for _ in range(LIMIT):
            action = random.uniform(-1, 1, 1).astype(np.float32)
            after, reward, *_ = world.step(action)
            parts.append((seen["x"], action, reward))
            seen = after
        inputs, actions, rewards = (
            torch.tensor(np.array(part)) for part in zip(*parts, strict=True)
        )
        replay.add(torch.zeros(LIMIT, 0), actions, rewards.float(), False, inputs)
    return replay
