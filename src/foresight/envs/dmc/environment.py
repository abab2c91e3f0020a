"""The dm_control suite as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from gymnasium import spaces

from foresight.core.errors import ForesightError
from foresight.core.spec import Axis, Spec
from foresight.envs import interface
from foresight.envs.dmc import patches as upstream
from foresight.envs.dmc.protocol import DEFAULT, Protocol, get_protocol
from foresight.envs.dmc.quantities import measure
from foresight.envs.dmc.tasks import canonical, resolve
from foresight.envs.render import FilmCamera, RenderSettings
from foresight.envs.scene import SceneEnv

CAMERA = "camera"
"""Name of a task's own camera: one name for all tasks, so that their datasets fit together."""

# The model itself is drawn from the seed, so every reset builds a new one.
RANDOM_MODEL_DOMAINS = ("lqr",)


class DMControlEnv(SceneEnv):
    """One task of the dm_control suite; a `foresight.core.simulator.Simulator`.

    Observations are a dict of ``images`` (camera name to uint8 RGB ``[H, W, 3]``; empty when
    ``render`` is None) and ``state`` (float32 ``[P]``: dm_control's observation, flattened in its
    order). ``info`` holds ``state`` (float64 ``[nq + nv + na]``, the simulator's true state),
    ``time`` (simulated seconds), ``seed`` and after a step ``executed_action``. Rewards are summed
    over the protocol's repeat. Episodes are truncated at the protocol's end, never by dm_control's
    own time limit; ``terminated`` is true only where the task itself ends an episode (lqr).

    Args:
        task: an id such as ``reacher-easy``.
        protocol: ``seed200`` or ``dmc1000``.
        render: how frames look, or None for physics alone.
        cameras: names of the model's cameras, or ``camera`` for the one of ``render``, which is
            the only one if none are given.

    Attributes:
        interface: cameras, the named state, actuators and decisions for each second.
        task_text: the task's id.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.

    Raises:
        ForesightError: unknown task, protocol or camera, or no OpenGL where frames are wanted.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: str | Protocol = DEFAULT,
        render: RenderSettings | None = RenderSettings(),  # noqa: B008 (frozen)
        cameras: Sequence[str] | None = None,
    ) -> None:
        self._domain, self._task_name = resolve(task)
        self.task_id = self.task_text = canonical(task)
        self.protocol = get_protocol(protocol)
        names = (CAMERA,) if cameras is None else tuple(cameras)
        self._begin_pictures(self.task_id, render, names, names)  # models name theirs as they like
        self._random = np.random.RandomState(0)
        self._steps_left = 0
        self._seed = 0
        self._load()
        self.interface = self._read_spec()
        self.observation_space = interface.observation_space(self.interface)
        self.action_space = interface.action_space(self.interface)
        self.metadata = {**self.metadata, "render_fps": self.frames_per_second}

    @property
    def physics(self) -> Any:
        """dm_control's ``Physics``: the true simulator."""
        return self._environment.physics

    @property
    def dm_task(self) -> Any:
        """dm_control's ``Task``: rewards and initial states."""
        return self._environment.task

    @property
    def timestep(self) -> float:
        """Simulated seconds between two decisions."""
        return float(self._environment.control_timestep() * self.protocol.repeat)

    @property
    def frames_per_second(self) -> int:
        """Decisions for each simulated second, which is the rate of a video of them."""
        return max(1, round(1 / self.timestep))

    @property
    def time_limit(self) -> int:
        """Decisions of an episode."""
        return self.protocol.decisions

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; a seed gives the very state of dm_control's first reset with it.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1.
        """
        self._seed = interface.seed_episode(self, seed)
        # Seeding the task's own generator equals `suite.load(..., {"random": seed})`.
        self._random.seed(self._seed)
        if self._domain in RANDOM_MODEL_DOMAINS:
            self.close()
            self._load()
        observation = self._environment.reset().observation
        if self._renderer is not None:
            self._renderer.model_changed()
        self._new_episode()
        self._steps_left = self.protocol.steps
        return self._observe(observation), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold ``action`` (``[A]``, clipped to the bounds) for the protocol's repeat.

        Raises:
            ForesightError: wrong shape, a value that is not finite, no running episode, or a
                simulation that has become unstable.
        """
        from dm_control.rl.control import PhysicsError

        control = interface.checked_action(action, self.interface, self.task_id)
        if self._steps_left <= 0:
            raise ForesightError("No episode is running: call reset() before step().")
        reward, terminated = 0.0, False
        for _ in range(min(self.protocol.repeat, self._steps_left)):
            try:
                result = self._environment.step(control)
            except PhysicsError as error:
                self._steps_left = 0
                raise ForesightError(
                    f"The simulation of {self.task_id} became unstable (seed {self._seed}): "
                    "reset it and use smaller actions."
                ) from error
            reward += float(result.reward)
            self._steps_left -= 1
            if result.last():
                terminated, self._steps_left = True, 0
                break
        truncated = not terminated and self._steps_left == 0
        info = {**self._info(), "executed_action": control.astype(np.float32)}
        return self._observe(result.observation), reward, terminated, truncated, info

    def get_state(self) -> np.ndarray:
        """The simulator's state, float64 ``[nq + nv + na]``: positions, velocities, activations."""
        state: np.ndarray = self.physics.get_state()
        return state

    def set_state(self, state: np.ndarray) -> dict[str, Any]:
        """Put the simulator into ``state`` (``[nq + nv + na]``) and return its observation.

        Goals that a task keeps in its model (reacher's target) stay as they are. What follows
        depends on the state alone: the solver's warm start is cleared.

        Raises:
            ForesightError: wrong length or a value that is not finite.
        """
        array = np.asarray(state, np.float64)
        length = self.physics.get_state().size
        if array.shape != (length,) or not np.isfinite(array).all():
            raise ForesightError(
                f"A state of {self.task_id} is {length} finite numbers (positions, velocities, "
                f"activations), not an array of shape {array.shape}: pass info['state']."
            )
        physics = self.physics
        physics.set_state(array)
        physics.data.qacc_warmstart[:] = 0
        physics.data.ctrl[:] = 0
        physics.after_reset()
        return self._observe(self.dm_task.get_observation(physics))

    def truth(self) -> dict[str, float]:
        """Named positions and velocities; see `foresight.envs.dmc.quantities.measure`."""
        position, velocity = measure(self.task_id, self.physics)
        return {**position, **velocity}

    def film_camera(self, size: int, quality: Literal["fast", "smooth", "full"]) -> FilmCamera:
        """Draws the present moment beside the environment's own cameras; close it in the end."""
        settings = RenderSettings(size=size, quality=quality)
        return FilmCamera(settings, self.physics.model.ptr, lambda: self.physics.data.ptr)

    @property
    def _scene(self) -> tuple[Any, Any]:
        return self.physics.model.ptr, self.physics.data.ptr

    def _camera(self, name: str) -> int | str:
        assert self.render_settings is not None
        return self.render_settings.camera if name == CAMERA else name

    def _load(self) -> None:
        self._environment = upstream.load(self._domain, self._task_name, self._random)

    def _read_spec(self) -> Spec:
        bounds, model = self._environment.action_spec(), self.physics.model
        names = [model.id2name(i, "actuator") or f"actuator_{i}" for i in range(model.nu)]
        observation = self._environment.reset().observation
        for name in self._cameras:
            # A bad camera or a missing OpenGL shows here and not in the middle of a run.
            self._view(name)
        return Spec(
            cameras=self._sizes,
            state=tuple(Axis(name) for name in _state_names(observation)),
            action=tuple(
                Axis(name, None, float(low), float(high))
                for name, low, high in zip(names, bounds.minimum, bounds.maximum, strict=True)
            ),
            fps=round(1 / self.timestep, 6),
            tasks=(self.task_id,),
        )

    def _observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        return interface.raw_observation(self._images(), self._flatten(observation))

    def _info(self) -> dict[str, Any]:
        return {
            "state": self.get_state(),
            "time": float(self.physics.data.time),
            "seed": self._seed,
        }

    @staticmethod
    def _flatten(observation: dict[str, Any]) -> np.ndarray:
        return np.concatenate([np.ravel(part) for part in observation.values()], dtype=np.float32)


def make_task(
    task: str,
    protocol: str = DEFAULT,
    cameras: Sequence[str] | None = None,
    size: int | tuple[int, int] = 64,
    quality: Literal["fast", "smooth", "full"] = "fast",
    look: Literal["plain", "varied"] = "plain",
    camera: int | str = 0,
    action_repeat: int = 1,
    mass: float = 1.0,
    gear: float = 1.0,
    friction: float = 1.0,
    changes_at: int = 0,
) -> DMControlEnv:
    """Make the environment of a task from plain options, as the registry does.

    Args:
        task: an id such as ``reacher-easy``.
        protocol: ``seed200`` or ``dmc1000``.
        cameras: names; none at all for physics alone.
        size: pixels of a side, or (height, width).
        quality: see `foresight.envs.render.RenderSettings`.
        look: see there.
        camera: number or name of what is called ``camera``.
        action_repeat: steps of the protocol for which an action is held.
        mass: factor on the body's masses, as the next three see
            `foresight.envs.dmc.bodies.BodyChange`.
        gear: factor on the strength of its actuators.
        friction: factor on the friction of its contacts.
        changes_at: steps after which it changes.

    Raises:
        ForesightError: unknown task, protocol or camera, an action held for less than a step, a
            factor that is not above 0, or no OpenGL where frames are wanted.
    """
    from foresight.envs.dmc.bodies import BodyChange, ChangedBodyEnv

    if action_repeat < 1:
        raise ForesightError(f"An action held for {action_repeat} steps: hold it for 1 or more.")
    base = get_protocol(protocol)
    held = replace(base, repeat=base.repeat * action_repeat)
    bare = cameras is not None and len(cameras) == 0
    render = None if bare else RenderSettings(size=size, camera=camera, quality=quality, look=look)
    change = BodyChange(mass, gear, friction, changes_at)
    if change.changes:
        return ChangedBodyEnv(change, task, held, render, cameras)
    return DMControlEnv(task, held, render, cameras)


def _state_names(observation: dict[str, Any]) -> list[str]:
    """``position_0``, ``position_1``, ...; a single number has dm_control's name alone."""
    names = []
    for name, part in observation.items():
        size = np.size(part)
        names += [name] if np.ndim(part) == 0 else [f"{name}_{i}" for i in range(size)]
    return names
