"""An environment's spec and its Gymnasium spaces: one follows from the other."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, Float64

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.spec import Spec

MAX_SEED = 2**32 - 1
INTERFACE = "interface"
"""The attribute that holds a Foresight environment's spec."""


def spec_of(env: gymnasium.Env[Any, Any]) -> Spec:
    """What an environment shows, feels and takes; wrappers around it are counted in.

    Raises:
        ForesightError: it is no environment of ours, nor one that was wrapped.
    """
    if not is_ours(env):
        raise ForesightError(
            f"{name_of(env)} does not say what it shows and takes: pass it to foresight.wrap first."
        )
    found: Spec = env.get_wrapper_attr(INTERFACE)
    return found


def is_ours(env: Any) -> bool:
    """Whether an environment has a spec."""
    if not isinstance(env, gymnasium.Env) or not env.has_wrapper_attr(INTERFACE):
        return False
    return isinstance(env.get_wrapper_attr(INTERFACE), Spec)


def limit_of(env: gymnasium.Env[Any, Any]) -> int | None:
    """The most decisions of an episode, or None where the environment does not say."""
    if env.has_wrapper_attr("time_limit"):
        found: int | None = env.get_wrapper_attr("time_limit")
        return found
    return None if env.spec is None else env.spec.max_episode_steps


def task_of(env: gymnasium.Env[Any, Any]) -> str:
    """What is to be done, in words or as an id; empty where the environment does not say."""
    return str(env.get_wrapper_attr("task_text")) if env.has_wrapper_attr("task_text") else ""


def name_of(env: Any) -> str:
    """What to call an environment in a sentence."""
    spec = getattr(env, "spec", None)
    inner = getattr(env, "unwrapped", env)
    return str(spec.id) if spec is not None else type(inner).__name__


def observation_space(spec: Spec) -> spaces.Dict:
    """``{"images": {camera: uint8 [H, W, 3]}, "state": float32 [P]}``.

    What there is nothing of is left out, for Gymnasium knows no empty spaces:
    `foresight.core.observation.Observation.of` reads either.
    """
    parts: dict[str, spaces.Space[Any]] = {}
    if spec.cameras:
        sizes = spec.cameras.items()
        parts["images"] = spaces.Dict(
            {name: spaces.Box(0, 255, (*size, 3), np.uint8) for name, size in sizes}
        )
    if spec.state:
        low = np.array([axis.low for axis in spec.state], np.float32)
        high = np.array([axis.high for axis in spec.state], np.float32)
        parts["state"] = spaces.Box(low, high, (len(spec.state),), np.float32)
    return spaces.Dict(parts)


def raw_observation(images: dict[str, np.ndarray], state: np.ndarray) -> dict[str, Any]:
    """An observation as :func:`observation_space` describes it."""
    return {**({"images": images} if images else {}), **({"state": state} if state.size else {})}


def parts_of(raw: dict[str, Any]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Pictures and state of an observation, each empty where there is none."""
    found = Observation.of(raw)
    return dict(found.images), found.state


def action_space(spec: Spec) -> spaces.Box:
    """Float32 ``[A]`` within the bounds."""
    return spaces.Box(spec.low, spec.high, (len(spec.action),), np.float32)


def checked_action(action: Any, spec: Spec, whose: str) -> Float64[np.ndarray, " A"]:
    """An action as float64 ``[A]``, within its bounds.

    Args:
        action: anything that somebody passed to ``step``.
        spec: of the environment.
        whose: its name, for the sentence.

    Raises:
        ForesightError: wrong shape, or a value that is not finite.
    """
    try:
        array = np.asarray(action, np.float64)
    except (TypeError, ValueError):
        array = np.full(0, np.nan)
    wanted = (len(spec.action),)
    if array.shape != wanted:
        raise ForesightError(
            f"An action of {whose} has shape {wanted}, not {array.shape}: pass one number for each "
            "actuator."
        )
    if not np.isfinite(array).all():
        raise ForesightError(f"The action {array.tolist()} is not finite: check what produced it.")
    return np.clip(array, [a.low for a in spec.action], [a.high for a in spec.action])


def idle_action(spec: Spec) -> Float32[np.ndarray, " A"]:
    """Doing nothing: zero, or the bound next to it."""
    return np.clip(np.zeros(len(spec.action), np.float32), spec.low, spec.high)


def whole_number(what: str, value: Any, least: int) -> int:
    """A setting that counts something.

    Raises:
        ForesightError: it is no whole number, or less than ``least``.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ForesightError(f"{value!r} is no {what}: give a whole number from {least} on.")
    return int(value)


def checked_seed(seed: Any) -> int:
    """A seed of a simulator that takes those of NumPy.

    Raises:
        ForesightError: it is not a whole number from 0 to `MAX_SEED`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ForesightError(f"Seed {seed!r} is not a whole number: pass 0 to {MAX_SEED}.")
    if not 0 <= seed <= MAX_SEED:
        raise ForesightError(f"Seed {seed} is out of range: pass 0 to {MAX_SEED}.")
    return int(seed)


def seed_episode(env: gymnasium.Env[Any, Any], seed: int | None) -> int:
    """Seed an environment's own generator, and say which seed its simulator gets.

    Args:
        env: of Gymnasium; its ``np_random`` is seeded by ``seed``.
        seed: the episode's, or None for one that the generator draws.

    Raises:
        ForesightError: the seed is not a whole number from 0 to `MAX_SEED`.
    """
    if seed is not None:
        seed = checked_seed(seed)
    gymnasium.Env.reset(env, seed=seed)
    return int(env.np_random.integers(2**31)) if seed is None else seed


class SpecWrapper(gymnasium.Wrapper[dict[str, Any], np.ndarray, Any, Any]):
    """A wrapper around an environment of ours, with a spec of its own.

    Args:
        env: the environment.
        spec: what it is seen as from outside.

    Attributes:
        interface: the spec.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], spec: Spec) -> None:
        super().__init__(env)
        self.interface = spec
        inner = spec_of(env)
        if (spec.cameras, spec.state) != (inner.cameras, inner.state):
            self.observation_space = observation_space(spec)
        if spec.fps != inner.fps:
            self.metadata = {**env.metadata, "render_fps": max(1, round(spec.fps))}

    def observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        """What becomes of an observation; the same, where nobody says otherwise."""
        return observation

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        return self.observe(observation), info

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one decision."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self.observe(observation), float(reward), terminated, truncated, info
