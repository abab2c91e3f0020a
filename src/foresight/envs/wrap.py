"""Any Gymnasium environment behind Foresight's face: named cameras, one state, bounded actions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from foresight.core.errors import ForesightError, first_line
from foresight.core.observation import Observation
from foresight.core.spec import Axis, Spec
from foresight.envs import interface

RENDER = "render"
"""Among ``cameras``, stands for what the environment's ``render()`` shows."""
CAMERA = "camera"
"""The name of a camera that nobody has named."""
COLOURS = (1, 3, 4)

Cameras = Sequence[str] | Mapping[str, str]


class WrappedEnv(gymnasium.Wrapper[dict[str, Any], np.ndarray, Any, Any]):
    """What :func:`wrap` makes; see there.

    Args:
        env: the environment.
        views: camera name to the key of its picture, or to ``render``.
        felt: keys of the parts of the state, in order.
        spec: what follows from them.
        task: what is to be done.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        views: Mapping[str, str],
        felt: Sequence[str],
        spec: Spec,
        task: str,
    ) -> None:
        super().__init__(env)
        self.interface = spec
        self.task_text = task
        self._views, self._felt = dict(views), tuple(felt)
        self._name = interface.name_of(env)
        self._action_type = env.action_space.dtype
        self.observation_space = interface.observation_space(spec)
        self.action_space = interface.action_space(spec)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Begin an episode.

        Raises:
            ForesightError: the first observation is not what the environment's spaces promise.
        """
        answer = self.env.reset(seed=seed, options=options)
        raw, info = self._whole(answer, "reset()", "(observation, info)", 2)
        return self._observe(raw), _told(info, seed)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take an action, clipped to the bounds.

        Raises:
            ForesightError: an action of another shape or one that is not finite; an observation
                that is not what the environment's spaces promise.
        """
        held = interface.checked_action(action, self.interface, self._name)
        held = held.astype(self._action_type)
        answer = self.env.step(held)
        wanted = "(observation, reward, terminated, truncated, info)"
        raw, reward, terminated, truncated, info = self._whole(answer, "step()", wanted, 5)
        told = {"executed_action": held.astype(np.float32), **_told(info, None)}
        return self._observe(raw), float(reward), bool(terminated), bool(truncated), told

    def _whole(self, answer: Any, what: str, wanted: str, count: int) -> tuple[Any, ...]:
        """An answer in the shape of Gymnasium 1.x; the old Gym's was another."""
        if isinstance(answer, tuple) and len(answer) == count and isinstance(answer[-1], Mapping):
            return answer
        given = f"{len(answer)} values" if isinstance(answer, tuple) else type(answer).__name__
        raise ForesightError(
            f"{what} of {self._name} returned {given}: Gymnasium 1.x expects {wanted}."
        )

    def _observe(self, raw: Any) -> dict[str, Any]:
        parts = _flat(raw)
        for key in (*self._views.values(), *self._felt):
            if key != RENDER:
                _need(self._name, parts, key)
        images = {
            name: np.ascontiguousarray(self.env.render() if key == RENDER else parts[key])
            for name, key in self._views.items()
        }
        felt = [np.ravel(parts[key]) for key in self._felt]
        state = np.concatenate(felt, dtype=np.float32) if felt else np.zeros(0, np.float32)
        found = Observation(images=images, state=state)
        found.check(self.interface, f"The environment {self._name}")
        return interface.raw_observation(images, state)


def wrap(
    env: gymnasium.Env[Any, Any],
    cameras: Cameras | None = None,
    fps: float | None = None,
    state: Sequence[str] | None = None,
    task: str | None = None,
) -> gymnasium.Env[Any, Any]:
    """Give a Gymnasium environment Foresight's observations, actions and spec.

    >>> import foresight
    >>> from fake_robot import FakeRobot  # any Gymnasium environment
    >>> env = foresight.wrap(FakeRobot(), cameras={"table": "front"}, fps=10)
    >>> observation, info = env.reset(seed=0)
    >>> sorted(observation["images"]), observation["state"].shape
    (['table'], (4,))

    Observations become ``{"images": {camera: uint8 [H, W, 3]}, "state": float32 [P]}``. Keys of
    nested dicts are written with dots: ``pixels.top``.

    Args:
        env: any Gymnasium 1.x environment with bounded numbers as actions. Where nothing else is
            said, uint8 ``[H, W, 3]`` boxes are cameras, boxes of one dimension make up the state
            in the order of their keys, and without a picture among them ``render()`` is the
            camera, if the environment was made with ``render_mode="rgb_array"``.
        cameras: keys of the pictures, or camera name to key; ``render`` stands for ``render()``.
            An empty list: no cameras.
        fps: decisions for each second; ``metadata["render_fps"]`` if not given.
        state: keys of the parts of the state, in order.
        task: what is to be done, in words; the environment's ``task_text``, or its id.

    Raises:
        ForesightError: something does not fit; the sentence says what, and how to mend it.
    """
    if interface.is_ours(env):
        return env
    name = interface.name_of(env)
    parts = _flat_space(env.observation_space)
    views = _views(env, name, parts, cameras, state)
    felt = _felt(name, parts, state)
    if cameras is None and state is None:
        _nothing_left(name, parts, views, felt)
    spec = Spec(
        cameras={view: _size(env, name, parts, key) for view, key in views.items()},
        state=tuple(axis for key in felt for axis in _state_axes(parts[key], key)),
        action=_action_axes(env.action_space, name),
        fps=_rate(env, name, fps),
        tasks=(_task(env, task),),
    )
    return WrappedEnv(env, views, felt, spec, spec.tasks[0])


def _views(
    env: gymnasium.Env[Any, Any],
    name: str,
    parts: dict[str, spaces.Space[Any]],
    cameras: Cameras | None,
    state: Sequence[str] | None,
) -> dict[str, str]:
    """Camera name to key."""
    if cameras is None:
        found = [key for key, space in parts.items() if _is_picture(space)]
        if not found and env.render_mode == "rgb_array":
            found = [RENDER]
        if not found and state is None:
            for key, space in parts.items():
                _refuse_picture(name, key, space, sure=False)
        return {_camera_name(key, found): key for key in found}
    if isinstance(cameras, str):
        cameras = [cameras]
    wanted = cameras if isinstance(cameras, Mapping) else _camera_names(cameras)
    for key in wanted.values():
        if key == RENDER and env.render_mode != "rgb_array":
            raise ForesightError(
                f"{name} was made with the render mode {env.render_mode!r}, and its render() "
                'cannot be a camera: make it with render_mode="rgb_array".'
            )
        if key != RENDER:
            _need(name, parts, key)
            _refuse_picture(name, key, parts[key], sure=True)
    return dict(wanted)


def _felt(name: str, parts: dict[str, spaces.Space[Any]], state: Sequence[str] | None) -> list[str]:
    """Keys of the parts of the state."""
    if state is None:
        return [key for key, space in parts.items() if _is_felt(space)]
    keys = [state] if isinstance(state, str) else list(state)
    for key in keys:
        _need(name, parts, key)
        if not isinstance(parts[key], spaces.Box) or not _is_number(parts[key]):
            raise ForesightError(
                f"{_what(name, key)} is {parts[key]}: a part of the state is a box "
                "of numbers, so turn it into one."
            )
    return keys


def _nothing_left(
    name: str, parts: dict[str, spaces.Space[Any]], views: dict[str, str], felt: list[str]
) -> None:
    """Refuse to drop silently what the automatic choice does not understand."""
    for key, space in parts.items():
        if key in felt or key in views.values():
            continue
        _refuse_picture(name, key, space, sure=False)
        raise ForesightError(
            f"{_what(name, key)} is {space}, neither a picture (uint8 [H, W, 3]) nor a list of "
            "numbers: say with cameras=[...] and state=[...] which keys to use."
        )


def _refuse_picture(name: str, key: str, space: spaces.Space[Any], sure: bool) -> None:
    """Say what is wrong with a picture; ``sure``: somebody called it one."""
    shape = space.shape or ()
    here = _what(name, key)
    if not isinstance(space, spaces.Box) or len(shape) != 3:
        if sure:
            raise ForesightError(f"{here} is {space}: a camera's picture is uint8 [H, W, 3].")
        return
    if shape[0] in COLOURS and shape[2] not in COLOURS:
        raise ForesightError(
            f"{here} is {list(shape)}, colours first: pictures are [H, W, 3], so move its first "
            "axis to the end (numpy.moveaxis(picture, 0, -1))."
        )
    if space.dtype != np.uint8 and (sure or shape[2] in COLOURS):
        raise ForesightError(
            f"{here} is a picture of {space.dtype}: pictures are uint8 from 0 to 255, so scale and "
            "round it."
        )
    if shape[2] != 3 and (sure or shape[2] in COLOURS):
        raise ForesightError(
            f"{here} has {shape[2]} channels: pictures are RGB [H, W, 3], so repeat grey three "
            "times, or drop what is no colour."
        )


def _size(
    env: gymnasium.Env[Any, Any], name: str, parts: dict[str, spaces.Space[Any]], key: str
) -> tuple[int, int]:
    """Height and width of a camera's pictures."""
    if key != RENDER:
        height, width, _ = parts[key].shape or (0, 0, 0)
        return height, width
    env.reset(seed=0)
    try:
        picture: Any = env.render()
    except gymnasium.error.Error as error:
        raise ForesightError(
            f"render() of {name} cannot be a camera ({first_line(error)}): make it work, "
            "or pass cameras=[] to do without pictures."
        ) from error
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.ndim != 3:
        kind = getattr(picture, "dtype", type(picture).__name__)
        raise ForesightError(
            f"render() of {name} gives {kind} {list(np.shape(picture))}: a picture, uint8 "
            "[H, W, 3], was expected."
        )
    _refuse_picture(name, "render()", spaces.Box(0, 255, picture.shape, np.uint8), sure=True)
    return int(picture.shape[0]), int(picture.shape[1])


def _action_axes(space: spaces.Space[Any], name: str) -> tuple[Axis, ...]:
    here = f"The actions of {name}"
    if not isinstance(space, spaces.Box):
        raise ForesightError(
            f"{here} are {space}: an action is a list of bounded numbers, so wrap the environment "
            "in one that takes a Box of one dimension and chooses from that."
        )
    if len(space.shape) != 1 or not _is_number(space):
        raise ForesightError(
            f"{here} are {space.dtype} {list(space.shape)}: an action is a list of numbers, so "
            "make it a Box of one dimension."
        )
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        first = int(np.flatnonzero(~(np.isfinite(space.low) & np.isfinite(space.high)))[0])
        raise ForesightError(
            f"{here} are unbounded: number {first} goes from {space.low[first]:g} to "
            f"{space.high[first]:g}; give the action space finite bounds."
        )
    return tuple(
        Axis(f"action_{i}", None, float(low), float(high))
        for i, (low, high) in enumerate(zip(space.low, space.high, strict=True))
    )


def _state_axes(space: spaces.Space[Any], key: str) -> list[Axis]:
    assert isinstance(space, spaces.Box)
    low, high = np.ravel(space.low), np.ravel(space.high)
    stem = key or "state"
    names = [stem] if space.shape == () else [f"{stem}_{i}" for i in range(low.size)]
    return [Axis(n, None, float(a), float(b)) for n, a, b in zip(names, low, high, strict=True)]


def _rate(env: gymnasium.Env[Any, Any], name: str, fps: float | None) -> float:
    told = env.metadata.get("render_fps") if fps is None else fps
    if isinstance(told, bool) or not isinstance(told, int | float | np.number):
        raise ForesightError(
            f"{name} does not say how many decisions a second has: pass fps=..., or set "
            'metadata["render_fps"].'
        )
    return float(told)


def _task(env: gymnasium.Env[Any, Any], task: str | None) -> str:
    return task if task is not None else interface.task_of(env) or interface.name_of(env)


def _need(name: str, parts: Mapping[str, Any], key: str) -> None:
    if key not in parts:
        listed = ", ".join(map(repr, parts)) or "none"
        raise ForesightError(f"{name} gave no observation {key!r}: there is {listed}.")


def _what(name: str, key: str) -> str:
    return f"The observation {key!r} of {name}" if key else f"The observation of {name}"


def _camera_names(keys: Sequence[str]) -> dict[str, str]:
    return {_camera_name(key, keys): key for key in keys}


def _camera_name(key: str, keys: Sequence[str]) -> str:
    """The last part of a key, or the whole of it where two end alike."""
    if key in ("", RENDER):
        return CAMERA
    last = key.rpartition(".")[2]
    alone = sum(other.rpartition(".")[2] == last for other in keys) == 1
    return last if alone else key.replace(".", "_")


def _is_picture(space: spaces.Space[Any]) -> bool:
    shape = space.shape or ()
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and shape[2:] == (3,)


def _is_felt(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) <= 1 and _is_number(space)


def _is_number(space: spaces.Space[Any]) -> bool:
    return space.dtype is not None and np.issubdtype(space.dtype, np.number)


def _flat_space(space: spaces.Space[Any], prefix: str = "") -> dict[str, spaces.Space[Any]]:
    """Dotted key to space; a space that is no dict has the key ''."""
    if not isinstance(space, spaces.Dict):
        return {prefix: space}
    found: dict[str, spaces.Space[Any]] = {}
    for key, part in space.spaces.items():
        found |= _flat_space(part, f"{prefix}.{key}" if prefix else str(key))
    return found


def _flat(raw: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        return {prefix: raw}
    found: dict[str, Any] = {}
    for key, part in raw.items():
        found |= _flat(part, f"{prefix}.{key}" if prefix else str(key))
    return found


def _told(info: Mapping[str, Any], seed: int | None) -> dict[str, Any]:
    """An environment's ``info``, with LeRobot's ``is_success`` under our name, too."""
    told = dict(info)
    if "success" not in told and "is_success" in told:
        told["success"] = bool(told["is_success"])
    if seed is not None:
        told.setdefault("seed", seed)
    return told
