"""Tasks of dm_control that pay for something else; what they paid before is told, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import DEFAULT, get_protocol
from foresight.envs.registry import EnvConfig
from foresight.envs.render import RenderSettings
from foresight.experts.rewards import BatchedReward
from studies.new_reward.rewards import NewReward, new_reward

ID = "studies.new_reward.environments:paid"


class Paid(DMControlEnv):
    """The source task of a reward, with that reward; ``info["own_reward"]`` is the task's own.

    Args:
        reward: what is paid for.
        rest: as of `DMControlEnv`.
    """

    def __init__(self, reward: NewReward, *rest: Any) -> None:
        self._new, self._own = reward, 0.0
        self._paying: BatchedReward | None = None
        super().__init__(reward.source, *rest)
        self.task_id = self.task_text = reward.key
        self.interface = replace(self.interface, tasks=(reward.key,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `DMControlEnv.reset`."""
        self._paying = None  # an episode may change the model, such as where a target is
        return super().reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As `DMControlEnv.step`."""
        self._own = 0.0
        seen, reward, terminated, truncated, info = super().step(action)
        return seen, reward, terminated, truncated, {**info, "own_reward": self._own}

    def _load(self) -> None:
        super()._load()
        own = self.dm_task.get_reward

        def pay(physics: Any) -> float:
            self._own += float(own(physics))
            if self._paying is None:
                self._paying = self._new.make(physics.model.ptr)
            sensors = np.array(physics.data.sensordata)
            return float(self._paying(physics.get_state(), sensors, np.array(physics.control())))

        self.dm_task.get_reward = pay


def paid(
    reward: str,
    protocol: str = DEFAULT,
    cameras: tuple[str, ...] | None = None,
    size: int | tuple[int, int] = 64,
    quality: Literal["fast", "smooth", "full"] = "fast",
    action_repeat: int = 1,
) -> Paid:
    """Make the environment of a reward's name, from options as `make_task` takes them.

    Raises:
        ForesightError: there is no such reward or protocol.
    """
    base = get_protocol(protocol)
    held = replace(base, repeat=base.repeat * action_repeat)
    bare = cameras is not None and not cameras
    render = None if bare else RenderSettings(size=size, quality=quality)
    return Paid(new_reward(reward), held, render, cameras)


def paid_config(reward: NewReward, **options: Any) -> EnvConfig:
    """The configuration of a reward's environment."""
    return EnvConfig.of(ID, reward=reward.key, **options)
