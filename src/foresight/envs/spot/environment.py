"""Spot on flat ground as a Gymnasium environment: joints, or a gait that is told where to go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.envs import interface
from foresight.envs.render import FilmCamera, RenderSettings
from foresight.envs.scene import SceneEnv
from foresight.envs.spot.gait import GaitConfig, Trot
from foresight.envs.spot.model import (
    CAMERAS,
    CONTROL_STEP,
    FOOT_RADIUS,
    JOINTS,
    LEGS,
    SENSORS,
    SUBSTEPS,
    load_model,
    place_cameras,
    sensor_slice,
    state_kind,
)
from foresight.envs.spot.tasks import (
    ACTION_SCALE,
    COMMAND_REPEAT,
    DEFAULT,
    HISTORY,
    LEAST_HEIGHT,
    LEAST_UPRIGHT,
    MARK_TASK,
    NAMESPACE,
    POSE,
    REACH,
    SWITCH,
    TASKS,
    Protocol,
    action_axes,
    asked_command,
    get_protocol,
    state_axes,
    tracking_reward,
)

START_NOISE = 0.05
"""Radians by which joints differ at an episode's start, at the most."""
ON_GROUND = FOOT_RADIUS + 0.005
"""Metres; a foot whose middle is lower stands."""


class SpotEnv(SceneEnv):
    """MuJoCo Playground's joystick task of Spot; a `foresight.core.simulator.Simulator`.

    A joystick asks for a velocity, another one every few seconds, and Spot is paid for having it
    (`foresight.envs.spot.tasks.tracking_reward`, summed over the control steps of a decision). An
    episode is terminated when Spot falls. Actions of ``joints`` are twelve joint targets, those of
    the others a velocity for the gait inside (`foresight.envs.spot.gait.Trot`). The state is
    Playground's observation of 81 numbers, without its noise. ``info`` holds ``state`` (float64,
    the simulator's and the gait's), ``time``, ``seed`` and after a step ``executed_action``.

    Args:
        task: a key of `foresight.envs.spot.tasks.TASKS`.
        protocol: how long an episode lasts.
        render: how frames look, or None for physics alone.
        cameras: names, keys of `foresight.envs.spot.model.CAMERAS`.
        repeat: control steps for which an action is held.
        switch: seconds for which a command is asked; 0: for the whole episode.
        reach: share of Playground's range of commands.
        gait: of those that command it.
        chunk: of ``joints``: targets in an action, which take turns while it is held.

    Attributes:
        interface: cameras, state, action and rate.
        task_text: what is to be done, in words.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.

    Raises:
        ForesightError: no such camera, the model's files are missing, or no OpenGL where frames are
            wanted.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: Protocol,
        render: RenderSettings | None,
        cameras: Sequence[str] = ("side",),
        repeat: int = 1,
        switch: float = SWITCH,
        reach: float = REACH,
        gait: GaitConfig | None = None,
        chunk: int = 1,
    ) -> None:
        import mujoco

        self.task_id, self.task_text = NAMESPACE + task, TASKS[task]
        self.protocol, self.repeat = protocol, repeat
        self._begin_pictures(self.task_id, render, cameras, CAMERAS)
        self._switch, self._reach = round(switch / CONTROL_STEP), reach
        self._gait, self._chunk = (None if task == "joints" else Trot(gait)), chunk
        original = render is not None and render.quality == "full"
        self._model = load_model("original" if original else "hulls", mark=task == MARK_TASK)
        self._data = mujoco.MjData(self._model)
        self._kind = state_kind()
        self._low, self._high = self._model.actuator_ctrlrange.T
        self._read = {name: sensor_slice(self._model, name) for name in SENSORS}
        self._seed = self._left = 0
        self._begin(0)
        rate = 1 / (CONTROL_STEP * repeat)
        self.interface = Spec(
            self._sizes,
            state_axes(),
            action_axes(task, reach, chunk),
            round(rate, 6),
            (self.task_text,),
        )
        if self._cameras:  # a missing OpenGL shows here and not in the middle of a run
            self.render()
        self.observation_space = interface.observation_space(self.interface)
        self.action_space = interface.action_space(self.interface)
        self.metadata = {**self.metadata, "render_fps": max(1, round(rate))}

    @property
    def time_limit(self) -> int:
        """Decisions of an episode, at the most."""
        return -(-self.protocol.steps // self.repeat)

    @property
    def asked(self) -> Float64[np.ndarray, "3"]:
        """The command of the joystick: m/s forwards and to the left, rad/s to the left."""
        return self._asked

    @property
    def velocity(self) -> Float64[np.ndarray, "3"]:
        """What is measured against it, in the body's own directions."""
        linear, gyro = self._sensed("local_linvel"), self._sensed("gyro")
        return np.array([linear[0], linear[1], gyro[2]])

    @property
    def fallen(self) -> bool:
        """Whether Spot lies, or leans too far."""
        upright, height = self._sensed("upvector")[2], self._data.qpos[2]
        return bool(upright < LEAST_UPRIGHT or height < LEAST_HEIGHT)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode: standing, with a heading and commands drawn from the seed.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1.
        """
        self._seed = interface.seed_episode(self, seed)
        self._begin(self._seed)
        self._left = self.protocol.steps
        self._new_episode()
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one decision (``[12 * chunk]`` or ``[3]``, clipped to the bounds).

        Raises:
            ForesightError: wrong shape, a value that is not finite, or no running episode.
        """
        control = interface.checked_action(action, self.interface, self.task_id)
        if self._left <= 0:
            raise ForesightError("No episode is running: call reset() before step().")
        reward, terminated = 0.0, False
        parts = control.reshape(self._chunk, -1)
        for held in range(min(self.repeat, self._left)):
            self._advance(parts[held * self._chunk // self.repeat])
            reward += self._reward()
            self._ask()
            self._left -= 1
            if self.fallen:
                terminated, self._left = True, 0
                break
        truncated = not terminated and self._left == 0
        info = {**self._info(), "executed_action": control.astype(np.float32)}
        return self._observe(), reward, terminated, truncated, info

    def get_state(self) -> Float64[np.ndarray, " S"]:
        """The simulator's state (time, positions, velocities, the solver's warm start), and what
        the task and the gait remember.
        """
        import mujoco

        physics = np.zeros(mujoco.mj_stateSize(self._model, self._kind))
        mujoco.mj_getState(self._model, self._data, physics, self._kind)
        gait = np.zeros(4) if self._gait is None else self._gait.memory
        memory = (self._errors.ravel(), self._acted, self._asked, gait, (self._taken, self._seed))
        return np.concatenate([physics, *memory])

    def set_state(self, state: Float64[np.ndarray, " S"]) -> dict[str, Any]:
        """Put the simulator into ``state`` and return its observation.

        What follows is what followed when the state was read.

        Raises:
            ForesightError: wrong length or a value that is not finite.
        """
        import mujoco

        array, size = np.asarray(state, np.float64), self.get_state().size
        if array.shape != (size,) or not np.isfinite(array).all():
            raise ForesightError(
                f"A state of {self.task_id} is {size} finite numbers, not an array of shape "
                f"{array.shape}: pass info['state']."
            )
        lengths = (mujoco.mj_stateSize(self._model, self._kind), 12 * HISTORY, 12, 3, 4, 2)
        physics, errors, acted, asked, gait, rest = np.split(array, np.cumsum(lengths)[:-1])
        self._errors, self._acted = errors.reshape(HISTORY, 12).copy(), acted.copy()
        self._asked, self._taken, self._seed = asked.copy(), int(rest[0]), int(rest[1])
        if self._gait is not None:
            self._gait.memory = gait.copy()
        mujoco.mj_setState(self._model, self._data, physics, self._kind)
        self._look()
        return self._observe()

    def truth(self) -> dict[str, float]:
        """Where the body is and how it moves, joint angles, and which feet stand; in metres,
        radians and seconds.
        """
        place = dict(zip(("x", "y", "height"), self._data.qpos[:3], strict=True))
        up, moves = self._sensed("upvector"), ("forward", "left", "turn")
        speeds = {f"{m} speed": v for m, v in zip(moves, self.velocity, strict=True)}
        joints = dict(zip(JOINTS, self._data.qpos[7:], strict=True))
        stands = {f"{leg} stands": self._foot_height(leg) < ON_GROUND for leg in LEGS}
        named = {**place, "upright": up[2], **speeds, **joints, **stands}
        return {name: float(value) for name, value in named.items()}

    def film_camera(self, size: int, quality: Literal["fast", "smooth", "full"]) -> FilmCamera:
        """Draws the present moment from the side; close it in the end."""
        settings = RenderSettings(size=size, quality=quality, camera="side")
        return FilmCamera(settings, self._model, lambda: self._data)

    @property
    def _scene(self) -> tuple[Any, Any]:
        return self._model, self._data

    def _begin(self, seed: int) -> None:
        import mujoco

        random = np.random.default_rng(seed)
        mujoco.mj_resetDataKeyframe(self._model, self._data, self._model.key("home").id)
        turn = self._first_heading(random) / 2
        self._data.qpos[3:7] = (np.cos(turn), 0.0, 0.0, np.sin(turn))
        self._data.qpos[7:] += random.uniform(-START_NOISE, START_NOISE, 12)
        if self._gait is not None:
            self._gait.reset()
        self._errors, self._acted = np.zeros((HISTORY, 12)), np.zeros(12)
        self._taken = 0
        self._asked = self._command(0)
        self._look()

    def _first_heading(self, random: np.random.Generator) -> float:
        """Radians in which an episode begins."""
        return float(random.uniform(-np.pi, np.pi))

    def _command(self, number: int) -> Float64[np.ndarray, "3"]:
        """What the joystick says after so many switches."""
        return asked_command(self._seed, number, self._reach)

    def _reward(self) -> float:
        """Of a control step, when it is taken."""
        return tracking_reward(self._asked, self.velocity)

    def _advance(self, control: Float64[np.ndarray, " A"]) -> None:
        """One control step."""
        import mujoco

        if self._gait is not None:
            wanted = (self._gait.step(control) - POSE) / ACTION_SCALE
            control = np.clip(wanted, -1.0, 1.0)
        targets = np.clip(POSE + ACTION_SCALE * control, self._low, self._high)
        self._data.ctrl[:] = targets
        # The halves of a step in this order, so that sensors and pictures show where it has led.
        mujoco.mj_step2(self._model, self._data)
        mujoco.mj_step(self._model, self._data, SUBSTEPS - 1)
        self._look()
        self._acted = control
        self._errors[1:] = self._errors[:-1]  # NumPy sees that they overlap
        self._errors[0] = self._data.qpos[7:] - targets

    def _ask(self) -> None:
        """The next command, when its time has come."""
        self._taken += 1
        if self._switch and self._taken % self._switch == 0:
            self._asked = self._command(self._taken // self._switch)

    def _look(self) -> None:
        """See where everything is: the first half of a step."""
        import mujoco

        place_cameras(self._data)
        mujoco.mj_step1(self._model, self._data)

    def _sensed(self, name: str) -> Float64[np.ndarray, " N"]:
        return self._data.sensordata[self._read[name]]  # type: ignore[no-any-return]

    def _foot_height(self, leg: str) -> float:
        return float(self._data.site(leg).xpos[2])

    def _observe(self) -> dict[str, Any]:
        felt = (
            self._sensed("gyro"),
            self._sensed("upvector"),
            self._data.qpos[7:] - POSE,
            self._errors.ravel(),
            *(self._sensed(f"{leg}_pos") for leg in LEGS),
            self._acted,
            self._asked,
        )
        return interface.raw_observation(self._images(), np.concatenate(felt, dtype=np.float32))

    def _info(self) -> dict[str, Any]:
        return {"state": self.get_state(), "time": float(self._data.time), "seed": self._seed}


def make_task(
    task: str,
    protocol: str = DEFAULT,
    cameras: Sequence[str] | None = None,
    size: int | tuple[int, int] = 64,
    quality: Literal["fast", "smooth", "full"] = "fast",
    look: Literal["plain", "varied"] = "plain",
    action_repeat: int = 1,
    switch: float = SWITCH,
    reach: float = REACH,
    chunk: int = 1,
    aim: str = "walk",
) -> SpotEnv:
    """Make the environment of a task from plain options, as the registry does.

    Args:
        task: ``joints``, ``command`` or ``mark``.
        protocol: ``walk20``, ``walk10`` or ``walk4``.
        cameras: any of ``side``, ``follow`` and ``wide``; ``side`` if not given, none at all for
            physics alone.
        size: pixels of a side, or (height, width).
        quality: see `foresight.envs.render.RenderSettings`; ``full`` draws the original meshes.
        look: see there.
        action_repeat: how many times as long an action is held: 20 ms of ``joints``, 100 ms of
            ``command`` and ``mark``.
        switch: seconds for which a command is asked; 0: for the whole episode.
        reach: share of Playground's range of commands, more than 0 and at most 1.
        chunk: control steps of one action of ``joints``, each with targets of its own: with 5 there
            are 10 decisions and frames a second, and the joints still move at 50.
        aim: of ``mark``, what is paid for: a key of `foresight.envs.spot.mark.AIMS`.

    Raises:
        ForesightError: unknown protocol or camera, a number out of its range, the model's files are
            missing, or no OpenGL where frames are wanted.
    """
    if action_repeat < 1:
        raise ForesightError(f"An action held for {action_repeat} steps: hold it for 1 or more.")
    if not 0 < reach <= 1:
        raise ForesightError(f"A reach of {reach}: give a share of the commands' range, up to 1.")
    if not 0 <= switch < float("inf"):
        raise ForesightError(f"A switch every {switch} seconds: give 0 or more.")
    names = ("side",) if cameras is None else tuple(cameras)
    render = RenderSettings(size=size, camera="side", quality=quality, look=look)
    if chunk < 1 or (chunk > 1 and task != "joints"):
        raise ForesightError(
            f"A chunk of {chunk} for spot/{task}: give 1 or more, and more than 1 to spot/joints "
            "alone."
        )
    held = action_repeat * (chunk if task == "joints" else COMMAND_REPEAT)
    drawn = render if names else None
    rest = (get_protocol(protocol), drawn, names, held, switch, reach)
    if task == MARK_TASK:
        from foresight.envs.spot.mark import MarkEnv  # which is one of these

        return MarkEnv(aim, *rest)
    return SpotEnv(task, *rest, chunk=chunk)
