"""Many copies of a task that step as one batch, for behaviours that read the simulator's state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.protocol import Protocol, get_protocol
from foresight.experts.feedback.state import StateFeatures
from foresight.experts.oracle_settings import oracle_settings
from foresight.experts.rewards import batched_reward
from foresight.experts.simulator_rollouts import BatchSimulator

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
        substeps = round(step / self.model.opt.timestep)
        self.simulator = BatchSimulator(self.model, substeps, threads=1, sensors=True)
        self.features = StateFeatures(self.model)
        self.reward = batched_reward(task, self.model)
        shaping = oracle_settings(task).shaping
        self.shaping = None if shaping is None else shaping(self.model)
        self.low = self.env.action_space.low.astype(float)
        self.high = self.env.action_space.high.astype(float)

    def starts(self, seeds: range) -> Scenes:
        """The scenes that resets with these seeds show."""
        states, warm = [], []
        for seed in seeds:
            self.env.reset(seed=seed)
            data = self.env.physics.data.ptr
            states.append(self.simulator.full_state(data))
            warm.append(np.array(data.qacc_warmstart))
        return Scenes(np.stack(states), np.stack(warm))

    def see(self, scenes: Scenes) -> Float[Array, "N D"]:
        """State features."""
        return self.features(scenes.states[:, 1:])

    def step(
        self, scenes: Scenes, action: Float[Array, "N A"]
    ) -> tuple[Scenes, Float[Array, " N"], Float[Array, " N"]]:
        """Hold actions in [-1, 1] for one decision.

        Returns:
            The scenes after it, what they earned, and the oracle's shaping (zeros where the task
            has none).
        """
        control = self.low + 0.5 * (action + 1) * (self.high - self.low)
        held = np.repeat(control[:, None], self.repeat, axis=1)
        reached = self.simulator.futures(scenes.states, scenes.warm, held)
        earned = self.reward(*reached, held).sum(1)
        shaped = np.zeros(len(scenes))
        if self.shaping is not None:
            shaped = self.shaping(*reached).sum(1)
        # Time stands first and means nothing to these tasks.
        states = np.concatenate([scenes.states[:, :1], reached[0][:, -1]], axis=1)
        return Scenes(states, scenes.warm), earned, shaped
