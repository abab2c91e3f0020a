"""Policies that need no learning: constant and random actions, lasting noise, mixtures."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.simulator import Privileged
from foresight.core.spec import Spec
from foresight.policies.registry import make_policy, register_policy

UNBOUNDED = 1e6
"""Bounds beyond this are no bounds: dm_control writes 1e10 for an actuator without limits."""


class Constant(Policy):
    """The same action at every step.

    Args:
        spec: of the robot.
        values: one number for all actuators, or one for each; clipped to the bounds.
        name: for the sentence of an error.

    Raises:
        ForesightError: there are neither one nor A numbers.
    """

    def __init__(self, spec: Spec, values: tuple[float, ...], name: str = "constant") -> None:
        length = len(spec.action)
        if len(values) not in (1, length):
            raise ForesightError(
                f"Policy {name!r} has {len(values)} numbers, but the robot has {length} "
                f"actuators: give one number, or {length}."
            )
        action = np.broadcast_to(np.asarray(values, np.float32), (length,))
        self._action = np.clip(action, spec.low, spec.high)

    def act(self, observation: Observation) -> Action:
        """The action of the name."""
        return self._action.copy()


@dataclass(frozen=True)
class FixedAction:
    """Makes a `Constant`; picklable."""

    values: tuple[float, ...]

    def __call__(self, spec: Spec) -> Constant:
        """The policy."""
        return Constant(spec, self.values)


class Random(Policy):
    """Uniform within the bounds; standard normal where an actuator has none.

    Args:
        spec: of the robot.
        name: its random numbers follow from this and the seed.
    """

    def __init__(self, spec: Spec, name: str = "random") -> None:
        self.spec, self.name = spec, name
        self._generator = np.random.default_rng(0)

    def reset(self, observation: Observation, seed: int) -> None:
        """Seed the generator."""
        self._generator = generator(self.name, seed)

    def act(self, observation: Observation) -> Action:
        """A fresh draw."""
        return uniform_action(self._generator, self.spec)


class AR1Noise(Policy):
    """First-order autoregressive noise: random pushes that last, and so reach far.

    ``noise[t] = memory * noise[t-1] + sqrt(1 - memory**2) * fresh``, with fresh standard normal
    draws. An action is the noise squashed into the bounds.

    Args:
        spec: of the robot.
        memory: correlation of neighbouring actions, from 0 up to, but not, 1.
        squash: ``tanh`` comes close to a bound and hardly ever reaches it; ``clip`` stays at it
            for a third of the time.
        name: its random numbers follow from this and the seed.
    """

    def __init__(
        self,
        spec: Spec,
        memory: float = 0.8,
        squash: Literal["tanh", "clip"] = "tanh",
        name: str = "ar1",
    ) -> None:
        self.spec, self.memory, self.squash, self.name = spec, memory, squash, name
        self._low, self._high, _ = _ranges(spec)
        self._generator = np.random.default_rng(0)
        self._noise: np.ndarray | None = None

    def reset(self, observation: Observation, seed: int) -> None:
        """Seed the generator and draw the first noise."""
        self._generator = generator(self.name, seed)
        self._noise = self._generator.standard_normal(len(self.spec.action))

    def act(self, observation: Observation) -> Action:
        """The next action of the walk."""
        unit = self.unit(observation)
        action: np.ndarray = self._low + (self._high - self._low) * (unit + 1) / 2
        return action.astype(np.float32)

    def unit(self, observation: Observation) -> np.ndarray:
        """The next action in units of half the range, float64 ``[A]`` in [-1, 1]."""
        if self._noise is None:
            self.reset(observation, 0)
        assert self._noise is not None
        fresh = self._generator.standard_normal(self._noise.shape)
        self._noise = self.memory * self._noise + np.sqrt(1 - self.memory**2) * fresh
        if self.squash == "tanh":
            return np.asarray(np.tanh(self._noise))
        return np.asarray(np.clip(self._noise, -1, 1))


class EpsilonGreedy(Policy):
    """With probability epsilon a random action, else the one of another policy.

    The other policy is asked at every step, so that one with a memory keeps it.

    Args:
        spec: of the robot.
        epsilon: probability of a random action.
        other: who acts else.
        name: its random numbers follow from this and the seed.
    """

    def __init__(self, spec: Spec, epsilon: float, other: Policy, name: str = "eps") -> None:
        self.spec, self.epsilon, self.other, self.name = spec, epsilon, other, name
        self._generator = np.random.default_rng(0)

    def attach(self, env: Any) -> None:
        """Hand the environment on to the other policy, if that wants one."""
        if isinstance(self.other, Privileged):
            self.other.attach(env)

    def reset(self, observation: Observation, seed: int) -> None:
        """Seed the generator and the other policy."""
        self._generator = generator(self.name, seed)
        self.other.reset(observation, seed)

    def act(self, observation: Observation) -> Action:
        """The mixed choice."""
        action = self.other.act(observation)
        if self._generator.random() < self.epsilon:
            return uniform_action(self._generator, self.spec)
        return action

    def notes(self) -> dict[str, Any]:
        """The other's."""
        return self.other.notes()

    def close(self) -> None:
        """Close the other one."""
        self.other.close()


def generator(name: str, seed: int) -> np.random.Generator:
    """The random numbers of a policy in an episode: from its name and the seed alone."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def uniform_action(random: np.random.Generator, spec: Spec) -> Float32[np.ndarray, " A"]:
    """A random action; see `Random`."""
    low, high, bounded = _ranges(spec)
    action = random.uniform(low, high)
    if not bounded.all():
        action = np.where(bounded, action, random.standard_normal(len(spec.action)))
    return action.astype(np.float32)


def numbers_of(name: str, text: str) -> tuple[float, ...]:
    """The numbers in a part of a policy's name.

    Raises:
        ForesightError: something in it is no finite number.
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not np.isfinite(values).all():
        raise ForesightError(
            f"Policy {name!r} holds something that is not a number: write for example "
            "constant:0.5, constant:0.1,-0.3, ar1:0.9 or eps:0.3:zero."
        )
    return values


def _ranges(spec: Spec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds to draw between, -1 and 1 where there are none; and where there are some."""
    bounded = np.maximum(np.abs(spec.low), np.abs(spec.high)) < UNBOUNDED
    return np.where(bounded, spec.low, -1), np.where(bounded, spec.high, 1), bounded


def _plain(name: str, spec: Spec, env_id: str | None) -> Policy:
    if name == "zero":
        return Constant(spec, (0.0,), name)
    if name == "random":
        return Random(spec)
    kind = name.partition(":")[0]
    raise ForesightError(f"Policy {name!r}: nothing follows {kind!r}, write {kind}.")


def _constant(name: str, spec: Spec, env_id: str | None) -> Policy:
    return Constant(spec, numbers_of(name, name.partition(":")[2]), name)


def _ar1(name: str, spec: Spec, env_id: str | None) -> Policy:
    number, _, squash = name.partition(":")[2].partition(":")
    values = numbers_of(name, number)
    if len(values) != 1 or not 0 <= values[0] < 1 or squash not in ("", "tanh", "clip"):
        raise ForesightError(
            f"Policy {name!r} is not ar1:MEMORY or ar1:MEMORY:clip: write for example ar1:0.9, "
            "with a memory from 0 up to, but not, 1."
        )
    # The stream of random numbers keeps the name that this noise had when data were first made.
    stream = f"smooth:{number}"
    return AR1Noise(spec, values[0], "clip" if squash == "clip" else "tanh", stream)


def _epsilon_greedy(name: str, spec: Spec, env_id: str | None) -> Policy:
    number, _, other = name.partition(":")[2].partition(":")
    values = numbers_of(name, number)
    if not other or len(values) != 1 or not 0 <= values[0] <= 1:
        raise ForesightError(
            f"Policy {name!r} is not eps:PROBABILITY:POLICY: write for example eps:0.3:expert, "
            "with a probability from 0 to 1."
        )
    return EpsilonGreedy(spec, values[0], make_policy(other, spec, env_id), name)


register_policy("zero", _plain)
register_policy("random", _plain)
register_policy("constant", _constant, "constant:0.5, constant:0.1,-0.3")
register_policy("ar1", _ar1, "ar1:0.9")
register_policy("eps", _epsilon_greedy, "eps:0.3:random")
