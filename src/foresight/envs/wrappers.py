"""What stands between an environment and who acts in it: rate, length, views, history.

Each wrapper takes an environment with a spec (ours, or one that was wrapped) and keeps its own
spec right. Delay has a module of its own, `foresight.envs.delay`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.envs import interface
from foresight.envs.delay import Delay
from foresight.envs.interface import SpecWrapper, parts_of, whole_number

__all__ = ["ActionRepeat", "Delay", "History", "ResizeImages", "SelectCameras", "TimeLimit"]

Step = tuple[dict[str, Any], float, bool, bool, dict[str, Any]]


class ActionRepeat(SpecWrapper):
    """Holds each action for several steps and sums their rewards; stops where the episode ends.

    Args:
        env: the environment.
        repeat: steps of ``env`` for each decision.

    Raises:
        ForesightError: ``repeat`` is no whole number from 1.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], repeat: int) -> None:
        self.repeat = whole_number("action repeat", repeat, 1)
        spec = interface.spec_of(env)
        super().__init__(env, replace(spec, fps=spec.fps / self.repeat))

    @property
    def time_limit(self) -> int | None:
        """Most decisions of an episode, where the environment says it."""
        inner = interface.limit_of(self.env)
        return None if inner is None else -(-inner // self.repeat)

    def step(self, action: Any) -> Step:
        """Take one decision."""
        total = 0.0
        for _ in range(self.repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info


class TimeLimit(SpecWrapper):
    """Truncates episodes after some decisions.

    Args:
        env: the environment.
        limit: decisions.

    Raises:
        ForesightError: ``limit`` is no whole number from 1.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], limit: int) -> None:
        self._limit = whole_number("time limit", limit, 1)
        super().__init__(env, interface.spec_of(env))
        self._taken = 0

    @property
    def time_limit(self) -> int:
        """Most decisions of an episode."""
        inner = interface.limit_of(self.env)
        return self._limit if inner is None else min(self._limit, inner)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        self._taken = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Take one decision; the last one truncates, unless the task ended the episode."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._taken += 1
        over = self._taken >= self._limit and not terminated
        return observation, float(reward), terminated, truncated or over, info


class SelectCameras(SpecWrapper):
    """Keeps some cameras, in the order given.

    Args:
        env: the environment.
        cameras: their names.

    Raises:
        ForesightError: there is no such camera.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], cameras: Sequence[str]) -> None:
        spec = interface.spec_of(env)
        for name in cameras:
            if name not in spec.cameras:
                listed = ", ".join(map(repr, spec.cameras)) or "none"
                raise ForesightError(
                    f"{interface.name_of(env)} has no camera {name!r}: choose from {listed}."
                )
        self._names = tuple(cameras)
        super().__init__(env, replace(spec, cameras={n: spec.cameras[n] for n in self._names}))

    def observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Fewer pictures."""
        images, state = parts_of(observation)
        return interface.raw_observation({name: images[name] for name in self._names}, state)


class ResizeImages(SpecWrapper):
    """Pictures of another size, averaged over the area that a new pixel covers.

    Args:
        env: the environment.
        size: pixels of a side, (height, width), or camera name to one of these.

    Raises:
        ForesightError: a size that is none, or of a camera that is none.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        size: int | Sequence[int] | Mapping[str, int | Sequence[int]],
    ) -> None:
        spec = interface.spec_of(env)
        wanted = size if isinstance(size, Mapping) else dict.fromkeys(spec.cameras, size)
        for name in wanted:
            if name not in spec.cameras:
                listed = ", ".join(map(repr, spec.cameras)) or "none"
                raise ForesightError(
                    f"{interface.name_of(env)} has no camera {name!r}: choose from {listed}."
                )
        sizes = {**spec.cameras, **{name: _pair(value) for name, value in wanted.items()}}
        super().__init__(env, replace(spec, cameras=sizes))

    def observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Pictures of the wanted sizes."""
        sizes = self.interface.cameras
        images, state = parts_of(observation)
        resized = {name: _resized(picture, sizes[name]) for name, picture in images.items()}
        return interface.raw_observation(resized, state)


class History(SpecWrapper):
    """Puts the last states, and if wanted the last actions, into the state.

    Pictures stay single: windows of frames are the encoder's affair. What lies before the first
    observation is the first one again, and the idle action.

    Args:
        env: the environment.
        states: how many states, the present one last.
        actions: how many chosen actions behind them, the last one last. With a delay of d, the
            last d actions tell what is still on its way.

    Raises:
        ForesightError: a number that is none.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], states: int, actions: int = 0) -> None:
        spec = interface.spec_of(env)
        count = whole_number("history", states, 1)
        acted = whole_number("history of actions", actions, 0)
        super().__init__(env, replace(spec, state=_history_axes(spec, count, acted)))
        self._idle = interface.idle_action(spec)
        self._states: deque[np.ndarray] = deque(maxlen=count)
        self._actions: deque[np.ndarray] = deque(maxlen=acted)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._states.extend([parts_of(observation)[1]] * (self._states.maxlen or 0))
        self._actions.extend([self._idle] * (self._actions.maxlen or 0))
        return self.observe(observation), info

    def step(self, action: Any) -> Step:
        """Take one decision."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._states.append(parts_of(observation)[1])
        self._actions.append(np.asarray(action, np.float32))
        return self.observe(observation), float(reward), terminated, truncated, info

    def observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        """A longer state."""
        state = np.concatenate([*self._states, *self._actions], dtype=np.float32)
        return interface.raw_observation(parts_of(observation)[0], state)


def _history_axes(spec: Spec, states: int, actions: int) -> tuple[Axis, ...]:
    """Names say how old a number is: ``position_0@-1``."""
    found = []
    for age in range(states - 1, -1, -1):
        found += [replace(a, name=f"{a.name}@-{age}") if age else a for a in spec.state]
    for age in range(actions, 0, -1):
        found += [replace(a, name=f"{a.name}@-{age}") for a in spec.action]
    return tuple(found)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    values = tuple(size) if isinstance(size, Sequence) else (size, size)
    if len(values) != 2:
        raise ForesightError(f"A picture's size {size!r} is none: give one number, or two.")
    height, width = (whole_number("picture size", value, 1) for value in values)
    return height, width


def _resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = size
    if picture.shape[:2] == size:
        return picture
    image = Image.fromarray(picture).resize((width, height), Image.Resampling.BOX)
    return np.asarray(image).copy()
