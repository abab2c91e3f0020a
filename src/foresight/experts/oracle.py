"""The oracle: sampling-based planning in the true simulator.

It shows what an episode can be worth at best (about), labels data and is the ceiling beside which
planners in learned models are judged. It reads the simulator's state and plans with an exact copy
of its physics and the task's own reward.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from foresight.core.observation import Observation
from foresight.core.policy import Action
from foresight.core.spec import Spec
from foresight.envs.dmc.tasks import canonical
from foresight.experts.expert import Expert
from foresight.experts.oracle_search import Population
from foresight.experts.oracle_settings import OracleSettings, oracle_settings
from foresight.experts.rewards import BatchedReward, batched_reward
from foresight.experts.simulator_rollouts import BatchSimulator, default_threads

if TYPE_CHECKING:
    from foresight.experts.shaping import Shaping

Array = np.ndarray

_UNSTABLE = -1e3  # score of a step into a state that is not finite


class Oracle(Expert):
    """Plans in the true simulator (model-predictive control).

    The same seed gives the same actions on any number of threads and in any process. An
    environment that strays from the plan, because another policy chose some of the actions, is
    planned for anew from where it is.

    Args:
        task: One of the eight measured tasks.
        spec: Of the robot.
        settings: How to search; None takes the tuned settings of the task.
        threads: Simulation threads; None takes all cores, or one within a worker process.
        reward: From the MuJoCo model to another reward than the task's; give settings without
            shaping that steers elsewhere.

    Raises:
        ForesightError: If the oracle does not know the task.
    """

    name = "oracle"

    def __init__(
        self,
        task: str,
        spec: Spec,
        settings: OracleSettings | None = None,
        threads: int | None = None,
        reward: Callable[[Any], BatchedReward] | None = None,
    ) -> None:
        super().__init__(spec)
        tuned = oracle_settings(task)
        self.task = canonical(task)
        self.settings = settings or tuned
        self.threads = threads or default_threads()
        self.reward = reward or partial(batched_reward, self.task)
        self._seed = 0
        self._simulator: BatchSimulator | None = None
        self._episode: _Episode | None = None

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin an episode: forget all plans and seed the search."""
        self._seed = seed
        self._episode = None

    def act(self, observation: Observation) -> Action:
        """Return the next action of the best plan found, float32 ``[A]``; blind to observation."""
        # Begun here and not in reset(), so that the model is read after the environment's reset.
        if self._episode is None or self._episode.is_over():
            self._episode = _Episode(self, self._simulator_now(), self._seed)
        return self._episode.act()

    def close(self) -> None:
        """End the simulation threads."""
        if self._simulator is not None:
            self._simulator.close()
        self._simulator = self._episode = None

    def _simulator_now(self) -> BatchSimulator:
        """Return the thread pool for this environment, the last one where the model is the same."""
        model = self.physics.model.ptr
        if self._simulator is None or self._simulator.model is not model:
            self.close()
            substeps = round(self.control_timestep / model.opt.timestep)
            self._simulator = BatchSimulator(model, substeps, self.threads, sensors=True)
        return self._simulator


class _Episode:
    """The oracle's plans within one episode."""

    def __init__(self, oracle: Oracle, simulator: BatchSimulator, seed: int) -> None:
        settings = oracle.settings
        model = simulator.model
        self._settings = settings
        self._simulator = simulator
        self._physics: Any = oracle.physics
        self._repeat = oracle.repeat
        self._decisions = oracle.env.protocol.steps // oracle.repeat
        self._timestep = oracle.control_timestep * oracle.repeat
        self._reward: BatchedReward = oracle.reward(model)
        self._shaping: Shaping | None = settings.shaping and settings.shaping(model)
        rng = np.random.default_rng([seed, zlib.crc32(Oracle.name.encode())])
        low, high = (bound.astype(np.float64) for bound in (oracle.spec.low, oracle.spec.high))
        # Settings count control steps; a held action makes the same future in fewer decisions.
        horizon = min(-(-settings.horizon // self._repeat), self._decisions)
        knots = tuple(max(1, round(knot / self._repeat)) for knot in settings.search.knots)
        search = replace(settings.search, knots=knots)
        self._population = Population(search, horizon, low, high, rng)
        self._planned_at: int | None = None
        self._latest = self._now()
        self._plan = np.empty((0, len(low)))
        self._foreseen = np.empty((0, 0))

    def is_over(self) -> bool:
        """Return whether the environment has gone back in time, that is, was reset."""
        return self._now() < self._latest

    def act(self) -> Action:
        """Return the action for the simulator's present state, float32 ``[A]``."""
        self._latest = now = self._now()
        state = self._simulator.full_state(self._physics.data.ptr)
        if self._must_plan(now, state[1:]):
            self._make_plan(now, state, self._physics.data.qacc_warmstart)
        assert self._planned_at is not None
        return self._plan[now - self._planned_at].astype(np.float32)

    def _now(self) -> int:
        """Return the decisions that have passed in the episode."""
        return round(self._physics.data.time / self._timestep)

    def _must_plan(self, now: int, state: Array) -> bool:
        if self._planned_at is None:
            return True
        age = now - self._planned_at
        if not 0 < age < min(self._settings.replan_every, len(self._plan)):
            return True
        return not np.array_equal(self._foreseen[age - 1], state)

    def _make_plan(self, now: int, state: Array, warmstart: Array) -> None:
        settings, population = self._settings, self._population
        iterations = settings.iterations
        if self._planned_at is None:
            iterations = settings.first_iterations
        else:
            population.shift(now - self._planned_at)
        # Beyond the episode's end nothing counts; an episode that outlasts it is still planned.
        left = self._decisions - now
        length = min(population.horizon, left) if left > 0 else population.horizon
        start, warmstart = state.copy(), np.array(warmstart)

        def score(sequences: Array) -> Array:
            return self._score(start, warmstart, sequences[:, :length])

        population.improve(score, iterations)
        self._plan = population.best[:length]
        self._planned_at = now
        if settings.replan_every > 1:
            states, _, _ = self._futures(start, warmstart, self._plan[None])
            self._foreseen = states[0, self._repeat - 1 :: self._repeat]

    def _futures(self, start: Array, warmstart: Array, sequences: Array) -> tuple[Array, ...]:
        """Return states, sensor data and controls of each control step, ``[S, H·repeat, ·]``."""
        controls = np.repeat(sequences, self._repeat, axis=1)
        states, sensordata = self._simulator.futures(start, warmstart, controls)
        return states, sensordata, controls

    def _score(self, start: Array, warmstart: Array, sequences: Array) -> Array:
        """Return the summed reward ``[S]`` of control sequences ``[S, H, A]``."""
        states, sensordata, controls = self._futures(start, warmstart, sequences)
        with np.errstate(all="ignore"):
            rewards = self._reward(states, sensordata, controls)
            if self._shaping is not None:
                bonus = self._shaping(states, sensordata)
                bonus[:, -1] *= 1.0 + self._settings.terminal
                rewards = rewards + bonus
        return np.nan_to_num(rewards, nan=_UNSTABLE, posinf=_UNSTABLE, neginf=_UNSTABLE).sum(-1)
