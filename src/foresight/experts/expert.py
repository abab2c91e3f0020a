"""What all experts share: they look into the simulator of a dm_control task."""

from __future__ import annotations

from typing import Any

from foresight.core.errors import ForesightError
from foresight.core.policy import Policy
from foresight.core.spec import Spec
from foresight.envs.dmc.tasks import canonical

NAMESPACE = "dmc/"


class Expert(Policy):
    """A policy that reads the true simulator; whoever runs it calls ``attach`` before ``reset``.

    Args:
        spec: of the robot that it acts for.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._env: Any = None

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no dm_control task inside.
        """
        inner = env.unwrapped
        if not hasattr(inner, "physics"):
            raise ForesightError(
                f"{type(inner).__name__} is no dm_control task, and experts read its physics: use "
                "zero, random, ar1:0.9 or a policy of your own."
            )
        self._env = inner

    @property
    def env(self) -> Any:
        """The dm_control environment that was attached."""
        if self._env is None:
            raise ForesightError("An expert looks into a simulator: call attach(env) first.")
        return self._env

    @property
    def physics(self) -> Any:
        """dm_control's ``Physics``."""
        return self.env.physics

    @property
    def control_timestep(self) -> float:
        """Simulated seconds of one control step."""
        return float(self.env.timestep) / self.env.protocol.repeat

    @property
    def repeat(self) -> int:
        """Control steps for which an action is held, by the task or by wrappers around it."""
        return max(1, round(1 / (self.spec.fps * self.control_timestep)))


def task_of(kind: str, env_id: str | None) -> str:
    """The dm_control task of an environment's id.

    Raises:
        ForesightError: it is another kind of environment.
    """
    bare = (env_id or "").removeprefix(NAMESPACE)
    if not bare or "/" in bare:
        raise ForesightError(
            f"There is no {kind!r} policy for {env_id or 'an unknown environment'}: experts know "
            'tasks of dm_control, such as dmc/reacher-easy, and "expert" those of Meta-World.'
        )
    return canonical(bare)
