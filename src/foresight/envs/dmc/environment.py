"""The dm_control suite as Gymnasium environments."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from foresight.core.errors import ForesightError
from foresight.envs.dmc import patches as upstream
from foresight.envs.dmc.protocol import Protocol, get_protocol
from foresight.envs.dmc.tasks import canonical, resolve
from foresight.envs.render import FrameRenderer, RenderSettings

MAX_SEED = 2**32 - 1
CAMERA = "camera"
"""Name of the one camera."""

# The model itself is drawn from the seed, so every reset builds a new one.
RANDOM_MODEL_DOMAINS = ("lqr",)


class DMControlEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """One task of the dm_control suite.

    Observations are a dict of ``images`` (``camera``: uint8 RGB ``[H, W, 3]``; empty when
    ``render`` is None) and ``state`` (float32 ``[P]``: dm_control's observation, flattened in its
    order).
    ``info`` holds ``state`` (float64 ``[nq + nv + na]``, the simulator's true state), ``time``
    (simulated seconds) and ``seed``. Rewards are summed over the protocol's repeat. Episodes are
    truncated at the protocol's end, never by dm_control's own time limit; ``terminated`` is true
    only where the task itself ends an episode (lqr).

    Args:
        task: an id such as ``reacher-easy``.
        protocol: ``seed200`` or ``dmc1000``.
        render: how frames look, or None for physics alone.

    Raises:
        ForesightError: unknown task, protocol or camera, or no OpenGL where frames are wanted.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": 50}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: str | Protocol = "seed200",
        render: RenderSettings | None = RenderSettings(),  # noqa: B008 (frozen)
    ) -> None:
        self._domain, self._task_name = resolve(task)
        self.task_id = canonical(task)
        self.protocol = get_protocol(protocol)
        self.render_settings = render
        self.render_mode = None if render is None else "rgb_array"
        self._random = np.random.RandomState(0)
        self._renderer: FrameRenderer | None = None
        self._steps_left = 0
        self._seed = 0
        self._load()
        self.metadata = {**self.metadata, "render_fps": self.frames_per_second}
        self._build_spaces()

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

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; a seed gives the very state of dm_control's first reset with it.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1.
        """
        if seed is not None:
            seed = _checked_seed(seed)
        super().reset(seed=seed)
        self._seed = int(self.np_random.integers(2**31)) if seed is None else seed
        # Seeding the task's own generator equals `suite.load(..., {"random": seed})`.
        self._random.seed(self._seed)
        if self._domain in RANDOM_MODEL_DOMAINS:
            self.close()
            self._load()
        observation = self._environment.reset().observation
        if self._renderer is not None:
            self._renderer.model_changed()
            self._renderer.new_episode(self._seed)
        self._steps_left = self.protocol.steps
        return self._observe(observation), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Hold ``action`` (``[A]``, clipped to the bounds) for the protocol's repeat.

        Raises:
            ForesightError: wrong shape, a value that is not finite, no running episode, or a
                simulation that has become unstable.
        """
        from dm_control.rl.control import PhysicsError

        control = self._checked(action)
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
        return self._observe(result.observation), reward, terminated, truncated, self._info()

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

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The present frame, uint8 ``[H, W, 3]``, or None for an environment without frames."""
        if self.render_settings is None:
            return None
        if self._renderer is None:  # made late: a renderer belongs to the process that uses it
            self._renderer = FrameRenderer(self.physics.model.ptr, self.render_settings)
            self._renderer.new_episode(self._seed)
        return self._renderer.render(self.physics.data.ptr)

    def close(self) -> None:
        """Free the renderer; the next frame makes a new one."""
        if self._renderer is not None:
            self._renderer.close()
            self._renderer = None

    def _load(self) -> None:
        self._environment = upstream.load(self._domain, self._task_name, self._random)

    def _build_spaces(self) -> None:
        bounds = self._environment.action_spec()
        self._low, self._high = bounds.minimum.copy(), bounds.maximum.copy()
        self.action_space = spaces.Box(
            self._low.astype(np.float32), self._high.astype(np.float32), dtype=np.float32
        )
        length = self._flatten(self._environment.reset().observation).size
        views: dict[str, spaces.Space[Any]] = {}
        if self.render_settings is not None:
            size = self.render_settings.size
            # A bad camera or a missing OpenGL shows here and not in the middle of a run.
            self.render()
            views[CAMERA] = spaces.Box(0, 255, (size, size, 3), np.uint8)
        felt = spaces.Box(-np.inf, np.inf, (length,), np.float32)
        self.observation_space = spaces.Dict({"images": spaces.Dict(views), "state": felt})

    def _observe(self, observation: dict[str, Any]) -> dict[str, Any]:
        frame = self.render()
        images = {} if frame is None else {CAMERA: frame}
        return {"images": images, "state": self._flatten(observation)}

    def _info(self) -> dict[str, Any]:
        return {
            "state": self.physics.get_state(),
            "time": float(self.physics.data.time),
            "seed": self._seed,
        }

    def _checked(self, action: np.ndarray) -> np.ndarray:
        try:
            array = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            array = np.full(0, np.nan)
        if array.shape != self._low.shape:
            raise ForesightError(
                f"An action of {self.task_id} has shape {self._low.shape}, not {array.shape}: "
                "pass one number for each actuator."
            )
        if not np.isfinite(array).all():
            raise ForesightError(
                f"The action {array.tolist()} is not finite: check what produced it."
            )
        return np.clip(array, self._low, self._high)

    @staticmethod
    def _flatten(observation: dict[str, Any]) -> np.ndarray:
        return np.concatenate([np.ravel(part) for part in observation.values()], dtype=np.float32)


def make(
    task: str,
    protocol: str | Protocol = "seed200",
    render: RenderSettings | None = RenderSettings(),  # noqa: B008 (frozen)
) -> DMControlEnv:
    """Make the environment of a task; see :class:`DMControlEnv`."""
    return DMControlEnv(task, protocol, render)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ForesightError(f"Seed {seed!r} is not a whole number: pass 0 to {MAX_SEED}.")
    if not 0 <= seed <= MAX_SEED:
        raise ForesightError(f"Seed {seed} is out of range: pass 0 to {MAX_SEED}.")
    return int(seed)
