"""LIBERO's tasks as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.envs import interface
from foresight.envs.libero.init_states import read_init_states
from foresight.envs.libero.packages import init_file, require_libero
from foresight.envs.libero.placement import SPREAD, Beginning, begin
from foresight.envs.libero.simulation import STATE_SIZE, Simulation
from foresight.envs.libero.tasks import (
    DEFAULT,
    NAMESPACE,
    Protocol,
    canonical,
    get_protocol,
    task_text,
)
from foresight.envs.render import FilmCamera, RenderSettings
from foresight.envs.scene import SceneEnv

CAMERAS = {
    "front": "agentview",
    "wrist": "robot0_eye_in_hand",
    "side": "sideview",
    "above": "birdview",
    "behind": "robot0_robotview",
}
"""Camera name to LIBERO's; the first two are shown where nobody chooses."""
STATE = (
    *(Axis(f"hand_{axis}", "m") for axis in "xyz"),
    *(Axis(f"hand_turn_{axis}", "rad") for axis in "xyz"),
    Axis("finger_left", "m"),
    Axis("finger_right", "m"),
)
ACTION = tuple(
    Axis(name, None, -1.0, 1.0)
    for name in ("move_x", "move_y", "move_z", "turn_x", "turn_y", "turn_z", "grip")
)
FPS = 20
COLLISION = 0
"""The group of geoms that robosuite collides and does not draw."""
COARSE = 0.003
"""Metres: large meshes are drawn this coarsely, but for ``full``."""
MOST_SPREAD = 0.3


class LiberoEnv(SceneEnv):
    """One task of LIBERO (Liu et al., NeurIPS 2023); a `foresight.core.simulator.Simulator`.

    The robot feels the place of its grip site in metres, its hand's orientation as axis times
    angle in radians, and where both fingers are in metres: LeRobot's state for LIBERO. An action
    moves the hand by up to 5 cm along each axis and turns it by up to half a radian about each, as
    the target of an operational-space controller (robosuite's ``OSC_POSE``), and opens (-1) or
    closes (1) the gripper. ``info`` holds ``success`` (after a step), ``state`` (float64
    ``[216]``, the true one), ``time``, ``seed`` and after a step ``executed_action``. An episode
    ends when the task is done.

    Args:
        task: an id without its namespace, such as ``spatial/0``.
        protocol: where episodes begin and how long they are.
        render: how frames look, or None for physics alone.
        cameras: names, keys of `CAMERAS`.
        repeat: decisions for which an action is held.
        spread: metres by which the protocol ``wide`` moves things.

    Attributes:
        interface: cameras, state, action and rate.
        task_text: what is to be done, in words.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.

    Raises:
        ForesightError: no such camera, packages or files are missing, or no OpenGL where frames
            are wanted.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: Protocol,
        render: RenderSettings | None,
        cameras: Sequence[str] = ("front", "wrist"),
        repeat: int = 1,
        spread: float = SPREAD,
    ) -> None:
        full = canonical(task)
        if full is None:
            raise ForesightError(f"LIBERO has no task {task!r}: `foresight envs list` lists them.")
        self.suite, self.name = full.split("/")
        self.task_id, self.task_text = full, task_text(full)
        self.protocol, self.repeat = protocol, repeat
        self._begin_pictures(f"{NAMESPACE}{full}", render, cameras, CAMERAS)
        require_libero()
        rows = (
            read_init_states(init_file(self.suite, self.name)) if protocol.start == "row" else None
        )
        self.beginning = Beginning(protocol.start, rows, spread)
        self.simulation = Simulation(self.suite, self.name)
        self._seed = self._left = 0
        self.interface = Spec(self._sizes, STATE, ACTION, FPS / repeat, (self.task_text,))
        if self._cameras:  # a missing OpenGL shows here and not in the middle of a run
            self.render()
        self.observation_space = interface.observation_space(self.interface)
        self.action_space = interface.action_space(self.interface)
        self.metadata = {**self.metadata, "render_fps": max(1, round(FPS / repeat))}

    @property
    def time_limit(self) -> int:
        """Decisions of an episode, at the most."""
        return -(-self.protocol.most(self.suite) // self.repeat)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode, with everything at rest.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1, or no places were
                found for the things of the task.
        """
        self._seed = interface.seed_episode(self, seed)
        begin(self.simulation, self.beginning, self._seed)
        self._left = self.protocol.most(self.suite)
        self._new_episode()
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one decision (``[7]``, clipped to the bounds); the reward is 1 where it is done.

        Raises:
            ForesightError: wrong shape, a value that is not finite, or no running episode.
        """
        control = interface.checked_action(action, self.interface, NAMESPACE + self.task_id)
        if self._left <= 0:
            raise ForesightError("No episode is running: call reset() before step().")
        success = False
        for _ in range(min(self.repeat, self._left)):
            self.simulation.step(control)
            self._left -= 1
            success = self.simulation.success
            if success:
                break
        over = self._left == 0
        self._left = 0 if success else self._left
        info = {
            **self._info(),
            "success": success,
            "executed_action": control.astype(np.float32),
        }
        return self._observe(), float(success), success, over and not success, info

    def get_state(self) -> Float64[np.ndarray, " 216"]:
        """The simulator's state and its controller's; zeros behind, so that all tasks fit into
        one dataset.
        """
        return self.simulation.get_state()

    def set_state(self, state: Float64[np.ndarray, " 216"]) -> dict[str, Any]:
        """Put the simulator into ``state`` and return its observation.

        Where fixtures stand is no part of it: reset with the episode's seed before. What follows
        is what followed when the state was read.

        Raises:
            ForesightError: wrong length or a value that is not finite.
        """
        array = np.asarray(state, np.float64)
        if array.shape != (STATE_SIZE,) or not np.isfinite(array).all():
            raise ForesightError(
                f"A state of {NAMESPACE}{self.task_id} is {STATE_SIZE} finite numbers, not an "
                f"array of shape {array.shape}: pass info['state']."
            )
        self.simulation.set_state(array)
        return self._observe()

    def truth(self) -> dict[str, float]:
        """Where the hand, objects and fixtures are, in metres."""
        return {
            f"{name}_{axis}": float(value)
            for name, place in self.simulation.places().items()
            for axis, value in zip("xyz", place, strict=True)
        }

    def film_camera(self, size: int, quality: Literal["fast", "smooth", "full"]) -> FilmCamera:
        """Draws the present moment from the front; close it in the end."""
        settings = _settings(size, quality, "plain")
        return FilmCamera(settings, self.simulation.model, lambda: self.simulation.data)

    @property
    def _scene(self) -> tuple[Any, Any]:
        return self.simulation.model, self.simulation.data

    def _camera(self, name: str) -> str:
        return CAMERAS[name]

    def _observe(self) -> dict[str, Any]:
        return interface.raw_observation(self._images(), self.simulation.feel())

    def _info(self) -> dict[str, Any]:
        return {
            "state": self.get_state(),
            "time": float(self.simulation.data.time),
            "seed": self._seed,
        }


def make_task(
    task: str,
    protocol: str = DEFAULT,
    cameras: Sequence[str] | None = None,
    size: int | tuple[int, int] = 128,
    quality: Literal["fast", "smooth", "full"] = "smooth",
    look: Literal["plain", "varied"] = "plain",
    action_repeat: int = 1,
    spread: float = SPREAD,
) -> LiberoEnv:
    """Make the environment of a task from plain options, as the registry does.

    Args:
        task: an id without its namespace, such as ``spatial/0``.
        protocol: a key of `foresight.envs.libero.tasks.PROTOCOLS`.
        cameras: keys of `CAMERAS`; ``front`` and ``wrist`` if not given, none at all for physics
            alone.
        size: pixels of a side, or (height, width).
        quality: see `foresight.envs.render.RenderSettings`.
        look: see there.
        action_repeat: decisions for which an action is held.
        spread: metres by which the protocol ``wide`` moves what a task is about, along x and y.

    Raises:
        ForesightError: unknown protocol or camera, an action held for less than a step, a spread
            that no table has, packages or files are missing, or no OpenGL where frames are wanted.
    """
    if action_repeat < 1:
        raise ForesightError(f"An action held for {action_repeat} steps: hold it for 1 or more.")
    if not 0 <= spread <= MOST_SPREAD:
        raise ForesightError(
            f"A spread of {spread} m is not possible: choose from 0 to {MOST_SPREAD} m."
        )
    names = ("front", "wrist") if cameras is None else tuple(cameras)
    render = _settings(size, quality, look) if names else None
    return LiberoEnv(task, get_protocol(protocol), render, names, action_repeat, spread)


def _settings(
    size: int | tuple[int, int],
    quality: Literal["fast", "smooth", "full"],
    look: Literal["plain", "varied"],
) -> RenderSettings:
    settings = RenderSettings(
        size=size, camera=CAMERAS["front"], quality=quality, look=look, hidden=(COLLISION,)
    )
    return settings if quality == "full" else replace(settings, coarse=COARSE)
