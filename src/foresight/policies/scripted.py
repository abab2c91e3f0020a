"""Who acts while data is collected: trivial actions, experts, and mixes of them."""

from __future__ import annotations

import zlib
from typing import Protocol, runtime_checkable

import numpy as np
from gymnasium import spaces

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.dmc.tasks import canonical, resolve

SPECS = (
    "zero, random, smooth:0.9, constant:0.5, constant:0.1,-0.3, expert, source, oracle, "
    "eps:0.3:expert"
)

UNBOUNDED = 1e6
"""Bounds beyond this are no bounds: dm_control writes 1e10 for an actuator without limits."""


@runtime_checkable
class Behaviour(Protocol):
    """Chooses actions; may look into the simulator (``env.physics``), which an agent may not."""

    name: str

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Begin an episode; all randomness follows from ``seed`` and the behaviour's name."""

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The next action, float32 ``[A]``."""


class Constant:
    """The same action at every step: one number for all actuators, or one for each."""

    def __init__(self, name: str, values: tuple[float, ...]) -> None:
        self.name = name
        self._values = values
        self._action = np.zeros(0, np.float32)

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Fit the action to the environment.

        Raises:
            ForesightError: there are neither one nor A numbers.
        """
        (length,) = env.action_space.shape
        if len(self._values) not in (1, length):
            raise ForesightError(
                f"Behaviour {self.name!r} has {len(self._values)} numbers, but {env.task_id} has "
                f"{length} actuators: give one number, or {length}."
            )
        action = np.broadcast_to(np.asarray(self._values, np.float32), (length,))
        self._action = np.clip(action, env.action_space.low, env.action_space.high)

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The action of the name."""
        return self._action.copy()


class Random:
    """Uniform within the bounds; standard normal where an actuator has none."""

    def __init__(self, name: str = "random") -> None:
        self.name = name
        self._generator = np.random.default_rng(0)

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Seed the generator."""
        self._generator = generator(self.name, seed)

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """A fresh draw."""
        return uniform_action(self._generator, env.action_space)


class Smooth:
    """First-order autoregressive noise: random pushes that last, and so reach far.

    ``noise[t] = memory * noise[t-1] + sqrt(1 - memory**2) * fresh``, with fresh standard normal
    draws. An action is the noise squashed by tanh into the bounds.
    """

    def __init__(self, name: str, memory: float) -> None:
        self.name = name
        self._memory = memory
        self._generator = np.random.default_rng(0)
        self._noise: np.ndarray | None = None

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Seed the generator and draw the first noise."""
        self._generator = generator(self.name, seed)
        self._noise = self._generator.standard_normal(env.action_space.shape)

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The next action of the walk."""
        if self._noise is None:
            self.reset(env, 0)
        assert self._noise is not None
        fresh = self._generator.standard_normal(self._noise.shape)
        self._noise = self._memory * self._noise + np.sqrt(1 - self._memory**2) * fresh
        low, high = env.action_space.low, env.action_space.high
        bounded = np.maximum(np.abs(low), np.abs(high)) < UNBOUNDED
        low, high = np.where(bounded, low, -1), np.where(bounded, high, 1)
        return (low + (high - low) * (np.tanh(self._noise) + 1) / 2).astype(np.float32)


class EpsilonGreedy:
    """With probability epsilon a random action, else the one of another behaviour.

    The other behaviour is asked at every step, so that one with a memory keeps it.
    """

    def __init__(self, name: str, epsilon: float, other: Behaviour) -> None:
        self.name = name
        self._epsilon = epsilon
        self._other = other
        self._generator = np.random.default_rng(0)

    def reset(self, env: DMControlEnv, seed: int) -> None:
        """Seed the generator and the other behaviour."""
        self._generator = generator(self.name, seed)
        self._other.reset(env, seed)

    def act(self, env: DMControlEnv, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The mixed choice."""
        action = self._other.act(env, observation)
        if self._generator.random() < self._epsilon:
            return uniform_action(self._generator, env.action_space)
        return action


def make_behaviour(spec: str, task: str) -> Behaviour:
    """The behaviour that ``spec`` names.

    Args:
        spec: ``zero``; ``random``; ``smooth:0.9``; ``constant:0.5`` or ``constant:0.1,-0.3``;
            ``expert``; ``source`` (the source documents' own poor reacher controller); ``oracle``
            (planning in the true simulator); ``eps:0.3:SPEC``.
        task: the task id; experts are made for one task.

    Raises:
        ForesightError: unknown task or spec, or no such expert for this task.
    """
    resolve(task)
    kind, _, rest = str(spec).partition(":")
    if kind in ("constant", "eps", "smooth") and rest:
        return _with_numbers(spec, kind, rest, task)
    if spec == "zero":
        return Constant(spec, (0.0,))
    if spec == "random":
        return Random()
    if spec in ("expert", "source"):
        from foresight.experts.controllers import make_expert

        return make_expert(spec, canonical(task))
    if spec == "oracle":
        from foresight.experts.oracle import Oracle

        return Oracle(canonical(task))
    raise ForesightError(f"Unknown behaviour {spec!r}: choose one of {SPECS}.")


def generator(name: str, seed: int) -> np.random.Generator:
    """The random numbers of a behaviour in an episode: from its name and the seed alone."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def uniform_action(random: np.random.Generator, space: spaces.Box) -> np.ndarray:
    """A random action, float32 ``[A]``."""
    bounded = np.maximum(np.abs(space.low), np.abs(space.high)) < UNBOUNDED
    low, high = np.where(bounded, space.low, -1), np.where(bounded, space.high, 1)
    action = random.uniform(low, high)
    if not bounded.all():
        action = np.where(bounded, action, random.standard_normal(space.shape))
    return action.astype(np.float32)


def _with_numbers(spec: str, kind: str, rest: str, task: str) -> Behaviour:
    if kind == "constant":
        return Constant(spec, _numbers(spec, rest))
    return _smooth(spec, rest) if kind == "smooth" else _epsilon_greedy(spec, rest, task)


def _epsilon_greedy(spec: str, rest: str, task: str) -> EpsilonGreedy:
    number, _, other = rest.partition(":")
    values = _numbers(spec, number)
    if not other or len(values) != 1 or not 0 <= values[0] <= 1:
        raise ForesightError(
            f"Behaviour {spec!r} is not eps:PROBABILITY:BEHAVIOUR: write for example "
            "eps:0.3:expert, with a probability from 0 to 1."
        )
    return EpsilonGreedy(spec, values[0], make_behaviour(other, task))


def _smooth(spec: str, rest: str) -> Smooth:
    values = _numbers(spec, rest)
    if len(values) != 1 or not 0 <= values[0] < 1:
        raise ForesightError(
            f"Behaviour {spec!r} is not smooth:MEMORY: write for example smooth:0.9, with a memory "
            "from 0 up to, but not, 1."
        )
    return Smooth(spec, values[0])


def _numbers(spec: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not np.isfinite(values).all():
        raise ForesightError(
            f"Behaviour {spec!r} holds something that is not a number: write for example "
            "constant:0.5, constant:0.1,-0.3, smooth:0.9 or eps:0.3:zero."
        )
    return values
