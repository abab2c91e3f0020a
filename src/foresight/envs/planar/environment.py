"""Planar worlds as Gymnasium environments that show where to go in a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float64, UInt8

from foresight.core.errors import ForesightError
from foresight.core.observation import PicturesOnDemand
from foresight.core.spec import Axis, Spec
from foresight.envs import interface
from foresight.envs.planar.push import PuckTable
from foresight.envs.planar.tasks import DEFAULT, TASKS, Protocol, get_protocol
from foresight.envs.planar.tworoom import TwoRooms
from foresight.envs.planar.world import Canvas, World

VIEW, GOAL = "view", "goal"
CAMERAS = (VIEW, GOAL)
"""What is now, and what is to be: the second picture stands still during an episode."""
ACTION = (Axis("move_x", None, -1.0, 1.0), Axis("move_y", None, -1.0, 1.0))
FPS = 10
SMALLEST, LARGEST = 16, 1024
WORLDS: dict[str, Callable[[], World]] = {
    "tworoom/point": TwoRooms,
    "tworoom/doors": lambda: TwoRooms(moving=True),
    "push/puck": PuckTable,
}


class PlanarEnv(gymnasium.Env[dict[str, Any], np.ndarray]):
    """A world seen from above; a `foresight.core.simulator.Simulator`.

    The robot feels nothing: two pictures are all there is, the present and the goal. The reward is
    1 while the task is done, else 0; so where an episode ends with its first success, returns are
    successes. ``info`` holds ``success``
    (of this very moment; absent after a reset), ``state`` (float64, the true one), ``time``,
    ``seed`` and after a step ``executed_action``.

    Args:
        task: a key of `foresight.envs.planar.tasks.TASKS`.
        protocol: when an episode ends.
        size: height and width of pictures in pixels.
        cameras: names out of `CAMERAS`; none for physics alone.

    Attributes:
        interface: cameras, action and rate.
        task_text: what is to be done, in words.
        world: places and physics.
        on_demand: pictures are drawn when they are looked at, which has to be before the next step.

    Raises:
        ForesightError: no such camera, or pictures that are too small or too large.
    """

    action_space: spaces.Box
    observation_space: spaces.Dict  # type: ignore[assignment]
    metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (as Gymnasium's)

    def __init__(
        self,
        task: str,
        protocol: Protocol,
        size: tuple[int, int] = (64, 64),
        cameras: Sequence[str] = CAMERAS,
    ) -> None:
        self.task_id, self.task_text, self.protocol = task, TASKS[task], protocol
        unknown = [name for name in cameras if name not in CAMERAS]
        if unknown:
            raise ForesightError(
                f"{task} has no camera {unknown[0]!r}: choose among {', '.join(CAMERAS)}."
            )
        if not all(SMALLEST <= side <= LARGEST for side in size):
            raise ForesightError(
                f"Pictures of {size[0]}x{size[1]} pixels: choose {SMALLEST} to {LARGEST} for each "
                "side."
            )
        self._cameras, self._size = tuple(cameras), size
        self.render_mode = "rgb_array"
        self.world = WORLDS[task]()
        self.on_demand = False
        self._moment = self._step = self._seed = 0
        self._running = False
        self._goal: UInt8[np.ndarray, "H W 3"] | None = None
        self.interface = Spec(
            dict.fromkeys(self._cameras, size), (), ACTION, FPS, (self.task_text,)
        )
        self.observation_space = interface.observation_space(self.interface)
        self.action_space = interface.action_space(self.interface)

    @property
    def time_limit(self) -> int:
        """Decisions of an episode, at the most."""
        return self.protocol.steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start an episode; it is never done already.

        Raises:
            ForesightError: the seed is not a whole number from 0 to 2**32 - 1.
        """
        self._seed = interface.seed_episode(self, seed)
        self.world.begin(np.random.default_rng(self._seed))
        self._goal = None
        self._step, self._running = 0, True
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """Take one decision (``[2]``, clipped to the bounds).

        Raises:
            ForesightError: wrong shape, a value that is not finite, or no running episode.
        """
        taken = interface.checked_action(action, self.interface, self.task_id)
        if not self._running:
            raise ForesightError("No episode is running: call reset() before step().")
        self.world.advance(taken)
        self._step += 1
        success = self.world.distance() <= self.world.reach
        terminated = success and self.protocol.until_success
        truncated = self._step >= self.protocol.steps and not terminated
        self._running = not (terminated or truncated)
        info = {
            **self._info(),
            "success": success,
            "executed_action": taken.astype(np.float32),
        }
        return self._observe(), float(success), terminated, truncated, info

    def get_state(self) -> Float64[np.ndarray, " S"]:
        """The numbers of the world, and the decisions taken."""
        return np.array([*self.world.numbers, self._step], np.float64)

    def set_state(self, state: Float64[np.ndarray, " S"]) -> dict[str, Any]:
        """Go on from ``state`` and return its observation.

        Raises:
            ForesightError: wrong length or a value that is not finite.
        """
        array, wanted = np.asarray(state, np.float64), (len(self.world.numbers) + 1,)
        if array.shape != wanted or not np.isfinite(array).all():
            raise ForesightError(
                f"A state of {self.task_id} is {wanted[0]} finite numbers, not an array of shape "
                f"{array.shape}: pass info['state']."
            )
        self.world.numbers[:] = array[:-1]
        self._goal = None
        self._step = int(array[-1])
        self._running = self._step < self.protocol.steps
        return self._observe()

    def truth(self) -> dict[str, float]:
        """Where everything is, in sides of the square; y points down."""
        return dict(zip(self.world.names, map(float, self.world.numbers), strict=True))

    def render(self) -> UInt8[np.ndarray, "H W 3"]:  # type: ignore[override]
        """The present moment."""
        return self._view(VIEW)

    def _view(self, camera: str) -> UInt8[np.ndarray, "H W 3"]:
        if camera == GOAL:
            self._goal = self._drawn(goal=True) if self._goal is None else self._goal
            return self._goal.copy()
        return self._drawn(goal=False)

    def _drawn(self, goal: bool) -> UInt8[np.ndarray, "H W 3"]:
        canvas = Canvas(self._size)
        self.world.draw(canvas, goal)
        return canvas.picture()

    def _observe(self) -> dict[str, Any]:
        self._moment += 1
        now = self._moment
        seen = PicturesOnDemand(self._cameras, self._view, lambda: now == self._moment)
        images = seen if self.on_demand else dict(seen.items())
        return interface.raw_observation(images, np.zeros(0, np.float32))

    def _info(self) -> dict[str, Any]:
        return {"state": self.get_state(), "time": self._step / FPS, "seed": self._seed}


def make_task(
    task: str,
    protocol: str = DEFAULT,
    cameras: Sequence[str] | None = None,
    size: int | tuple[int, int] = 64,
) -> PlanarEnv:
    """Make the environment of a task from plain options, as the registry does.

    Args:
        task: a full id, such as ``tworoom/point``.
        protocol: ``first-success`` or ``whole``.
        cameras: ``view`` and ``goal`` if not given; none at all for physics alone.
        size: pixels of a side, or (height, width).

    Raises:
        ForesightError: unknown protocol or camera, or a size that cannot be drawn.
    """
    sides = (size, size) if isinstance(size, int) else (size[0], size[1])
    return PlanarEnv(task, get_protocol(protocol), sides, CAMERAS if cameras is None else cameras)
