"""One episode: what to run, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

import foresight.experts  # noqa: F401 (names its policies)
from foresight.core.episode import Episode as StoredEpisode
from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.simulator import Privileged
from foresight.core.spec import Spec, numbered_axes
from foresight.envs.dmc.environment import DMControlEnv, make
from foresight.envs.dmc.protocol import get_protocol
from foresight.envs.dmc.tasks import canonical
from foresight.envs.render import RenderSettings
from foresight.policies.registry import make_policy

SUCCESS_FRACTION = 0.75
"""An episode succeeds when its return passes this share of its control steps (150 of 200)."""


@dataclass(frozen=True)
class EpisodeSpec:
    """Everything that decides an episode, so that running it twice gives the same numbers.

    Attributes:
        task: an id such as ``reacher-easy``; kept in its one spelling.
        seed: of the initial state and of the behaviour's randomness.
        behaviour: a name of :func:`foresight.policies.make_policy`.
        protocol: ``seed200`` or ``dmc1000``.
        render: how frames look, or None for no frames.
        steps: end after so many decisions already; None runs the whole protocol.
    """

    task: str
    seed: int
    behaviour: str
    protocol: str = "seed200"
    render: RenderSettings | None = RenderSettings()  # noqa: RUF009 (frozen)
    steps: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", canonical(self.task))  # one episode, one name
        most = get_protocol(self.protocol).decisions
        if self.steps is not None and not 1 <= self.steps <= most:
            raise ForesightError(
                f"An episode of {self.steps} steps is not possible: {self.protocol} has 1 to "
                f"{most} decisions."
            )


@dataclass
class Episode:
    """What was seen and done: ``action[t]`` is taken at observation ``t``, brings ``reward[t]``.

    The observation after the last action is not kept.

    Attributes:
        spec: what was run.
        frames: uint8 RGB ``[T, H, W, 3]``, or None without rendering.
        proprio: float32 ``[T, P]``.
        states: float64 ``[T, nq + nv + na]``, the simulator's true state.
        actions: float32 ``[T, A]``, within the bounds.
        rewards: float32 ``[T]``.
    """

    spec: EpisodeSpec
    frames: np.ndarray | None
    proprio: np.ndarray
    states: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray

    @property
    def length(self) -> int:
        """T, the number of decisions."""
        return len(self.rewards)

    @property
    def return_(self) -> float:
        """The sum of rewards."""
        return float(self.rewards.sum(dtype=np.float64))


def as_stored(episode: Episode) -> StoredEpisode:
    """The same, as a dataset keeps it."""
    spec, protocol = episode.spec, get_protocol(episode.spec.protocol)
    needed = SUCCESS_FRACTION * episode.length * protocol.repeat
    return StoredEpisode(
        images={} if episode.frames is None else {"camera": episode.frames},
        state=episode.proprio,
        action=episode.actions,
        reward=episode.rewards,
        terminated=False,
        task=spec.task,
        fps=protocol_rate(spec.task, spec.protocol),
        success=episode.return_ > needed,
        columns={"sim.state": episode.states},
        info={
            "seed": spec.seed,
            "policy": spec.behaviour,
            "environment": f"dmc/{spec.task}",
            "protocol": spec.protocol,
            "render": spec.render,
            "steps": spec.steps,
        },
    )


@cache
def protocol_rate(task: str, protocol: str) -> float:
    """Decisions for each second of a task."""
    env = make(task, protocol, None)
    try:
        return 1 / env.timestep
    finally:
        env.close()


def run_episode(spec: EpisodeSpec, env: DMControlEnv | None = None) -> Episode:
    """Run one episode, in ``env`` where one that :func:`fits` is at hand.

    Raises:
        ForesightError: the spec or ``env`` does not fit.
    """
    if env is not None and not fits(env, spec):
        raise ForesightError(
            f"The environment of {env.task_id} ({env.protocol.name}) is not the one of {spec}: "
            "make one with the spec's task, protocol and render settings."
        )
    own = env is None
    env = env or make(spec.task, spec.protocol, spec.render)
    try:
        return _run(spec, env)
    finally:
        if own:
            env.close()


def fits(env: DMControlEnv, spec: EpisodeSpec) -> bool:
    """Whether ``spec`` can run in ``env``."""
    return (
        env.task_id == spec.task
        and env.protocol == get_protocol(spec.protocol)
        and env.render_settings == spec.render
    )


class SpecRunner:
    """Runs episodes in one process, keeping the last environment for the next spec that fits."""

    def __init__(self, finish: Callable[[Episode], Any] | None = None) -> None:
        self._env: DMControlEnv | None = None
        self._finish = finish

    def __call__(self, spec: EpisodeSpec) -> Any:
        """One episode, or what ``finish`` makes of it."""
        if self._env is None or not fits(self._env, spec):
            self.close()
            self._env = make(spec.task, spec.protocol, spec.render)
        episode = run_episode(spec, self._env)
        return episode if self._finish is None else self._finish(episode)

    def close(self) -> None:
        """Free the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None


def _run(spec: EpisodeSpec, env: DMControlEnv) -> Episode:
    steps = spec.steps or env.protocol.decisions
    policy = make_policy(spec.behaviour, action_spec(env), spec.task)
    observation, info = env.reset(seed=spec.seed)
    if isinstance(policy, Privileged):
        policy.attach(env)
    policy.reset(Observation.of(observation), spec.seed)
    episode = _allocate(spec, env, observation, info["state"], steps)
    for t in range(steps):
        action = np.asarray(policy.act(Observation.of(observation)), np.float32)
        if episode.frames is not None:
            episode.frames[t] = observation["images"]["camera"]
        episode.proprio[t] = observation["state"]
        episode.states[t] = info["state"]
        observation, reward, terminated, truncated, info = env.step(action)
        # What the store keeps is what the simulator got; step() has refused anything not finite.
        episode.actions[t] = np.clip(action, env.action_space.low, env.action_space.high)
        episode.rewards[t] = reward
        if terminated or truncated:
            return _cut(episode, t + 1)
    return episode


def action_spec(env: DMControlEnv) -> Spec:
    """Actions and rate of an environment."""
    space = env.action_space
    axes = numbered_axes("action", space.shape[0], space.low, space.high)
    return Spec(action=axes, fps=1 / env.timestep)


def _allocate(
    spec: EpisodeSpec,
    env: DMControlEnv,
    observation: dict[str, Any],
    state: np.ndarray,
    steps: int,
) -> Episode:
    pixels = observation.get("images", {}).get("camera")
    return Episode(
        spec=spec,
        frames=None if pixels is None else np.empty((steps, *pixels.shape), np.uint8),
        proprio=np.empty((steps, observation["state"].size), np.float32),
        states=np.empty((steps, state.size), np.float64),
        actions=np.empty((steps, *env.action_space.shape), np.float32),
        rewards=np.empty(steps, np.float32),
    )


def _cut(episode: Episode, length: int) -> Episode:
    if length == episode.length:
        return episode
    frames = episode.frames
    return Episode(
        spec=episode.spec,
        frames=None if frames is None else frames[:length].copy(),
        proprio=episode.proprio[:length].copy(),
        states=episode.states[:length].copy(),
        actions=episode.actions[:length].copy(),
        rewards=episode.rewards[:length].copy(),
    )
