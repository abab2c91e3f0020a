"""Meta-World's tasks as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.extras import require
from foresight.core.spec import Axis, Spec
from foresight.envs import interface
from foresight.envs.gl import choose_gl
from foresight.envs.metaworld.tasks import DEFAULT, TASKS, Protocol, get_protocol
from foresight.envs.render import FilmCamera, RenderSettings
from foresight.envs.scene import SceneEnv

CAMERAS = {
    "front": "corner2",
    "gripper": "gripperPOV",
    "close": "corner3",
    "far": "corner",
    "above": "topview",
    "behind": "behindGripper",
}
"""Camera name to Meta-World's; the first two are shown where nobody chooses."""
UPSIDE_DOWN = ("corner2",)
FRONT_PLACE = (0.75, 0.075, 0.7)
"""Metres; the field's usual place for ``corner2``, where the objects are larger."""
AIMED = {"close": FRONT_PLACE, "far": (0.15, 1.45, 0.6)}
"""Where cameras are that look at the work: it fills their pictures, and a goal's marker is not lost
in a small one. ``far`` stands opposite the robot, where its arm hides nothing, and looks along the
axis in which things are placed least differently."""
TARGET, ANGLE = (0.0, 0.65, 0.1), 40.0
"""What they look at, in metres, and their field of view in degrees."""
STATE = (
    *(Axis(f"hand_{axis}", "m") for axis in "xyz"),
    Axis("gripper_opening", None, 0.0, 1.0),
)
ACTION = tuple(Axis(name, None, -1.0, 1.0) for name in ("move_x", "move_y", "move_z", "grip"))
Place = tuple[float, float, float]
FPS = 80
STATE_SIZE = 56
"""Of the task with the largest one."""
COARSE = 0.008
"""Metres: the arm's meshes are drawn this coarsely, but for ``full``."""
FROM_SEED = ("body_pos", "body_quat", "site_pos", "geom_pos")
"""What tasks change in their model when an episode begins."""


class MetaWorldEnv(SceneEnv):
    """One task of Meta-World (Yu et al., CoRL 2020); a `foresight.core.simulator.Simulator`.

    The robot feels what a real one would: the hand's place in metres and how far its gripper is
    open, from 0 to 1. An action moves the hand by up to 1 cm along each axis and opens (-1) or
    closes (1) the gripper. Object and goal are placed by the seed alone, in every process alike.
    ``info`` holds ``success`` (of this very moment; absent after a reset), ``state`` (float64
    ``[56]``, the true one), ``time``, ``seed`` and after a step ``executed_action``.

    Args:
        task: a key of `foresight.envs.metaworld.tasks.TASKS`.
        protocol: when an episode ends.
        render: how frames look, or None for physics alone.
        cameras: names, keys of `CAMERAS`.
        repeat: control steps for which an action is held; rewards are summed.

    Attributes:
        interface: cameras, state, action and rate.
        task_text: what is to be done, in words.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.

    Raises:
        ForesightError: no such camera, the package is missing, or no OpenGL where frames are
            wanted.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: Protocol,
        render: RenderSettings | None,
        cameras: Sequence[str] = ("front", "gripper"),
        repeat: int = 1,
    ) -> None:
        self.task_id, self.task_text = task, TASKS[task]
        self.protocol, self.repeat = protocol, repeat
        self._begin_pictures(f"metaworld/{task}", render, cameras, CAMERAS)
        self._upstream = _load(task)
        self._first = {name: getattr(self._model, name).copy() for name in FROM_SEED}
        self._seed = self._left = 0
        self._succeeded = False
        self._place_things(0)
        self.interface = Spec(self._sizes, STATE, ACTION, FPS / repeat, (self.task_text,))
        if self._cameras:  # a missing OpenGL shows here and not in the middle of a run
            self.render()
        self.observation_space = interface.observation_space(self.interface)
        self.action_space = interface.action_space(self.interface)
        self.metadata = {**self.metadata, "render_fps": max(1, round(FPS / repeat))}

    @property
    def time_limit(self) -> int:
        """Decisions of an episode, at the most."""
        return -(-self.protocol.steps // self.repeat)

    @property
    def full_observation(self) -> Float64[np.ndarray, " 39"]:
        """What Meta-World itself shows, objects and goal included: for its scripted policies."""
        return self._seen

    @property
    def _model(self) -> Any:
        return self._upstream.model

    @property
    def _data(self) -> Any:
        return self._upstream.data

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1.
        """
        self._seed = interface.seed_episode(self, seed)
        self._place_things(self._seed)
        self._left, self._succeeded = self.protocol.steps, False
        self._new_episode()
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one decision (``[4]``, clipped to the bounds).

        Raises:
            ForesightError: wrong shape, a value that is not finite, or no running episode.
        """
        control = interface.checked_action(action, self.interface, self.task_id)
        if self._left <= 0:
            raise ForesightError("No episode is running: call reset() before step().")
        reward, success, linger = 0.0, False, self.protocol.linger
        for _ in range(min(self.repeat, self._left)):
            self._upstream.curr_path_length = 0  # steps are counted here
            self._seen, gained, _, _, told = self._upstream.step(control)
            reward, success = reward + float(gained), success or bool(told["success"])
            self._left -= 1
            if success and not self._succeeded:
                self._succeeded = True
                self._left = self._left if linger is None else min(self._left, linger)
        over = self._left == 0
        terminated = over and self._succeeded and linger is not None
        info = {
            **self._info(),
            "success": success,
            "executed_action": control.astype(np.float32),
        }
        return self._observe(), reward, terminated, over and not terminated, info

    def get_state(self) -> Float64[np.ndarray, " 56"]:
        """The simulator's state: time, positions, velocities, the solver's warm start, the hand's
        target; zeros behind, so that all tasks fit into one dataset.
        """
        import mujoco

        kind, state = _state_kind(), np.zeros(STATE_SIZE)
        used = state[: mujoco.mj_stateSize(self._model, kind)]
        mujoco.mj_getState(self._model, self._data, used, kind)
        return state

    def set_state(self, state: Float64[np.ndarray, " 56"]) -> dict[str, Any]:
        """Put the simulator into ``state`` and return its observation.

        What a task keeps in its model (places of fixed objects, the goal) stays as it is: reset
        with the episode's seed before. What follows is what followed when the state was read.

        Raises:
            ForesightError: wrong length or a value that is not finite.
        """
        import mujoco

        kind, array = _state_kind(), np.asarray(state, np.float64)
        if array.shape != (STATE_SIZE,) or not np.isfinite(array).all():
            raise ForesightError(
                f"A state of {self.task_id} is {STATE_SIZE} finite numbers, not an array of shape "
                f"{array.shape}: pass info['state']."
            )
        used = array[: mujoco.mj_stateSize(self._model, kind)]
        mujoco.mj_setState(self._model, self._data, used, kind)
        mujoco.mj_forward(self._model, self._data)
        mujoco.mj_setState(self._model, self._data, used, kind)  # the warm start has moved on
        self._look_again()
        return self._observe()

    def truth(self) -> dict[str, float]:
        """Where hand, objects and goal are, in metres."""
        objects = np.reshape(self._upstream._get_pos_objects(), (-1, 3))
        places = {"hand": self._seen[:3], "goal": self._upstream._get_pos_goal()}
        places |= {f"object{i or ''}": place for i, place in enumerate(objects)}
        return {
            f"{name}_{axis}": float(value)
            for name, place in places.items()
            for axis, value in zip("xyz", place, strict=True)
        }

    def film_camera(self, size: int, quality: Literal["fast", "smooth", "full"]) -> FilmCamera:
        """Draws the present moment from the front; close it in the end."""
        settings = RenderSettings(size=size, quality=quality, camera=CAMERAS["front"])
        return FilmCamera(settings, self._model, lambda: self._data)

    @property
    def _scene(self) -> tuple[Any, Any]:
        return self._model, self._data

    def _camera(self, name: str) -> str:
        return CAMERAS[name]

    def _place_things(self, seed: int) -> None:
        import mujoco

        for name, values in self._first.items():  # else the last episode's places shine through
            getattr(self._model, name)[:] = values
        mujoco.mj_resetData(self._model, self._data)
        mujoco.mj_forward(self._model, self._data)
        self._upstream.seed(seed)
        self._upstream.reset()
        # Meta-World moves bodies last of all and shows them where they were; the physics is not
        # touched by this.
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)
        self._look_again()

    def _look_again(self) -> None:
        """See a moment that no step has led to."""
        self._upstream._prev_obs = self._upstream._get_curr_obs_combined_no_goal()
        self._seen = self._upstream._get_obs()

    def _observe(self) -> dict[str, Any]:
        return interface.raw_observation(self._images(), self._seen[:4].astype(np.float32))

    def _info(self) -> dict[str, Any]:
        return {
            "state": self.get_state(),
            "time": float(self._data.time),
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
) -> MetaWorldEnv:
    """Make the environment of a task from plain options, as the registry does.

    Args:
        task: an id without its namespace, such as ``push``.
        protocol: ``first-success``, ``held`` or ``mt500``.
        cameras: keys of `CAMERAS`; ``front`` and ``gripper`` if
            not given, none at all for physics alone.
        size: pixels of a side, or (height, width).
        quality: see `foresight.envs.render.RenderSettings`.
        look: see there.
        action_repeat: control steps for which an action is held.

    Raises:
        ForesightError: unknown protocol or camera, an action held for less than a step, the
            package ``metaworld`` is missing, or no OpenGL where frames are wanted.
    """
    if action_repeat < 1:
        raise ForesightError(f"An action held for {action_repeat} steps: hold it for 1 or more.")
    names = ("front", "gripper") if cameras is None else tuple(cameras)
    coarse = 0.0 if quality == "full" else COARSE
    render = RenderSettings(size=size, camera=CAMERAS["front"], quality=quality, look=look)
    return MetaWorldEnv(
        task,
        get_protocol(protocol),
        replace(render, coarse=coarse) if names else None,
        names,
        action_repeat,
    )


def _load(task: str) -> Any:
    """Meta-World's own environment of a task, which draws a new place for every episode."""
    require("metaworld", "Every task of Meta-World")
    choose_gl(required=False)  # before anything imports MuJoCo
    import mujoco
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    found = ALL_V3_ENVIRONMENTS[task + "-v3"]()
    found._partially_observable = False  # the scripted policies need the goal
    del found.sawyer_observation_space  # it is computed anew, with the goal's bounds
    found._set_task_called, found._freeze_rand_vec, found.seeded_rand_vec = True, False, True
    model = found.model
    half_turn = np.array([0.0, 0.0, 0.0, 1.0])
    for name in UPSIDE_DOWN:
        number = model.camera(name).id
        mujoco.mju_mulQuat(model.cam_quat[number], model.cam_quat[number].copy(), half_turn)
    model.cam_pos[model.camera("corner2").id] = FRONT_PLACE
    for name, place in AIMED.items():
        number = model.camera(CAMERAS[name]).id
        model.cam_pos[number], model.cam_fovy[number] = place, ANGLE
        model.cam_quat[number] = _looking_at(place, TARGET)
    return found


def _looking_at(place: Place, target: Place) -> Float64[np.ndarray, "4"]:
    """The quaternion of an upright camera; MuJoCo's look along -z, with x to the right."""
    import mujoco

    ahead = np.subtract(target, place)
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0.0, 0.0, 1.0))
    right /= np.linalg.norm(right)
    found = np.zeros(4)
    mujoco.mju_mat2Quat(found, np.stack([right, np.cross(right, ahead), -ahead], 1).ravel())
    return found


def _state_kind() -> int:
    from mujoco import mjtState

    kinds = (mjtState.mjSTATE_FULLPHYSICS, mjtState.mjSTATE_WARMSTART, mjtState.mjSTATE_MOCAP_POS)
    return sum(kind.value for kind in kinds)
