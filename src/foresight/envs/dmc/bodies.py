"""Bodies of dm_control that differ from those an agent learned with: heavier, weaker, slippery."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from foresight.core.errors import ForesightError
from foresight.envs.dmc.environment import DMControlEnv
from foresight.envs.interface import whole_number

DRAWN = ("center", "extent", "meansize")
"""Statistics by which MuJoCo draws, of which a task says its own: derived again, walker's extent is
that of its endless floor, and the near plane of its camera swallows the robot."""


@dataclass(frozen=True)
class BodyChange:
    """How a body differs from the task's own, and from when on."""

    mass: float = 1.0
    """Factor on masses and moments of inertia of all bodies."""
    gear: float = 1.0
    """Factor on the strength of all actuators."""
    friction: float = 1.0
    """Factor on the friction of all contacts: sliding, torsion and rolling."""
    at: int = 0
    """Steps of the environment after which it changes; 0 for an episode with it from the first."""

    def __post_init__(self) -> None:
        for name in ("mass", "gear", "friction"):
            factor = getattr(self, name)
            if not (np.isfinite(factor) and factor > 0):
                raise ForesightError(
                    f"A factor of {factor} on the {name} is refused: give a number above 0."
                )
        whole_number("number of steps before a body changes", self.at, 0)

    @property
    def changes(self) -> bool:
        """Whether anything does."""
        return (self.mass, self.gear, self.friction) != (1.0, 1.0, 1.0)


class ChangedBodyEnv(DMControlEnv):
    """A task whose body is another one than the agent learned with; see `BodyChange`.

    ``info["changed"]`` says whether the present moment is one of the changed body. What the
    simulator derives from masses is derived again.

    Args:
        change: of the body.
        rest: as of `DMControlEnv`.
    """

    def __init__(self, change: BodyChange, *rest: Any) -> None:
        self.change, self._steps = change, 0
        super().__init__(*rest)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """As `DMControlEnv.reset`; the body is that of the first step."""
        self._steps = 0
        self._put(self.change.at == 0)
        return super().reset(seed=seed, options=options)

    def step(self, action: np.ndarray) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        """As `DMControlEnv.step`."""
        if self._steps == self.change.at and not self._changed:
            self._put(True)
            self.physics.forward()  # what the next step begins with was derived from the old body
        self._steps += 1
        return super().step(action)

    def _load(self) -> None:
        super()._load()
        model = self.physics.model.ptr
        names = ("body_mass", "body_inertia", "actuator_gear", "geom_friction", "pair_friction")
        self._own = {name: np.array(getattr(model, name)) for name in names}
        self._changed = False
        self._put(self.change.at == 0)

    def _put(self, changed: bool) -> None:
        """Give the simulator the task's own body, or the changed one."""
        import mujoco

        if changed == self._changed:
            return
        change, model = self.change, self.physics.model.ptr
        factors = {"body_mass": change.mass, "body_inertia": change.mass}
        factors |= {"actuator_gear": change.gear}
        factors |= {"geom_friction": change.friction, "pair_friction": change.friction}
        for name, own in self._own.items():
            getattr(model, name)[:] = own * (factors[name] if changed else 1.0)
        drawn = {name: np.array(getattr(model.stat, name)) for name in DRAWN}
        mujoco.mj_setConst(model, mujoco.MjData(model))  # a scratch state: the episode's stays
        for name, own in drawn.items():
            setattr(model.stat, name, own)
        self._changed = changed

    def _info(self) -> dict[str, Any]:
        return {**super()._info(), "changed": self._changed}
