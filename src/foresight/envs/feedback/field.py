"""Many copies of a task that step as one batch, for behaviours that read the simulator's state."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from jaxtyping import Float
from mujoco import rollout

from foresight.envs.dm_env import DMControlEnv
from foresight.envs.feedback.state import StateFeatures
from foresight.envs.oracle_settings import oracle_settings
from foresight.envs.protocol import Protocol, get_protocol
from foresight.envs.rewards import batched_reward

Array = np.ndarray


@dataclass(frozen=True)
class Scenes:
    """Where N copies are: full physics states, and the solver's warm starts."""

    states: Float[Array, "N S"]
    warm: Float[Array, "N V"]

    def __getitem__(self, rows: Array) -> Scenes:
        """Some of them."""
        return Scenes(self.states[rows], self.warm[rows])

    def __len__(self) -> int:
        """N."""
        return len(self.states)


class Field:
    """Steps copies of a task under one action each, as dm_control would, many times faster.

    Args:
        task: one with a batched reward; see `rewarded_tasks`.
        protocol: length of episodes.
        repeat: control steps for which an action is held.

    Raises:
        ForesightError: unknown task or protocol, or a task without a batched reward.
    """

    def __init__(self, task: str, protocol: str, repeat: int) -> None:
        base = get_protocol(protocol)
        held = Protocol(base.name, base.steps, repeat)
        self.env = DMControlEnv(task, held, None)
        self.env.reset(seed=0)
        self.model = self.env.physics.model.ptr
        self.repeat, self.decisions = repeat, held.decisions
        step = 1.0 / (self.env.frames_per_second * repeat)
        self.substeps = round(step / self.model.opt.timestep)
        self.features = StateFeatures(self.model)
        self.reward = batched_reward(task, self.model)
        shaping = oracle_settings(task).shaping
        self.shaping = None if shaping is None else shaping(self.model)
        self.low = self.env.action_space.low.astype(float)
        self.high = self.env.action_space.high.astype(float)
        self._data = mujoco.MjData(self.model)
        self._pool = rollout.Rollout(nthread=0)

    def starts(self, seeds: range) -> Scenes:
        """The scenes that resets with these seeds show."""
        full = mujoco.mjtState.mjSTATE_FULLPHYSICS
        states, warm = [], []
        for seed in seeds:
            self.env.reset(seed=seed)
            state = np.empty(mujoco.mj_stateSize(self.model, full))
            mujoco.mj_getState(self.model, self.env.physics.data.ptr, state, full)
            states.append(state)
            warm.append(np.array(self.env.physics.data.qacc_warmstart))
        return Scenes(np.stack(states), np.stack(warm))

    def see(self, scenes: Scenes) -> Float[Array, "N D"]:
        """State features."""
        return self.features(scenes.states[:, 1:])

    def step(
        self, scenes: Scenes, action: Float[Array, "N A"]
    ) -> tuple[Scenes, Float[Array, "N"], Float[Array, "N"]]:
        """Hold actions in [-1, 1] for one decision.

        Returns:
            The scenes after it, what they earned, and the oracle's shaping (zeros where the task
            has none).
        """
        control = self.low + 0.5 * (action + 1) * (self.high - self.low)
        hold = self.repeat * self.substeps
        # One physics step more: sensors stand for the state a step started from.
        path, sensors = self._pool.rollout(
            self.model,
            [self._data],
            scenes.states,
            np.repeat(control[:, None], hold + 1, axis=1),
            initial_warmstart=scenes.warm,
        )
        ends = np.arange(self.substeps - 1, hold, self.substeps)
        width = 1 + self.model.nq + self.model.nv + self.model.na
        held = np.repeat(control[:, None], self.repeat, axis=1)
        reached = path[:, ends, 1:width], sensors[:, ends + 1]
        earned = self.reward(*reached, held).sum(1)
        shaped = np.zeros(len(scenes))
        if self.shaping is not None:
            shaped = self.shaping(*reached).sum(1)
        return Scenes(path[:, hold - 1].copy(), scenes.warm), earned, shaped
