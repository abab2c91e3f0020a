"""Those who can walk Spot: the gait for its joints, and the joystick itself for its gait."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.spot.gait import GaitConfig, Trot
from foresight.envs.spot.mark import NEAR, MarkEnv, seen_from
from foresight.envs.spot.model import CONTROL_STEP
from foresight.envs.spot.tasks import ACTION_SCALE, JOYSTICK, POSE, state_axes

GAIN = 2.0
"""Velocity that is commanded for an error, a second."""


class SpotExpert(Policy):
    """Does what the joystick says; it needs no look into the simulator.

    For ``spot/joints`` the targets are those of `foresight.envs.spot.gait.Trot`; for
    ``spot/command``, where that gait walks, an action is the joystick's command.

    Args:
        spec: of the robot.
        gait: its shape.

    Raises:
        ForesightError: a robot that is not Spot, or joints that are held for several steps.
    """

    def __init__(self, spec: Spec, gait: GaitConfig | None = None) -> None:
        if spec.state != state_axes():
            raise ForesightError(
                "Spot's expert reads the joystick where spot/joints and spot/command have it, and "
                f"this robot's state has {len(spec.state)} other numbers: use it there."
            )
        self.spec = spec
        self._chunk = len(spec.action) // len(POSE)
        rate = spec.fps * self._chunk
        if self._chunk and abs(rate * CONTROL_STEP - 1) > 1e-3:
            raise ForesightError(
                f"Spot's gait moves its joints {1 / CONTROL_STEP:g} times a second, not {rate:g} "
                "times: leave the action repeat at 1; chunk=5 has 10 decisions a second."
            )
        self._trot = Trot(gait)

    def reset(self, observation: Observation, seed: int) -> None:
        """Begin a stride."""
        self._trot.reset()

    def act(self, observation: Observation) -> Action:
        """Float32 ``[12 * chunk]`` or ``[3]``, within the bounds."""
        wanted = asked = observation.state[JOYSTICK].astype(np.float64)
        if self._chunk:
            targets = np.array([self._trot.step(asked) for _ in range(self._chunk)])
            wanted = ((targets - POSE) / ACTION_SCALE).ravel()
        return np.clip(wanted, self.spec.low, self.spec.high).astype(np.float32)


class MarkExpert(Policy):
    """Reads where the mark of ``spot/mark`` stands and commands what the episode's aim asks for.

    Whoever runs it calls ``attach`` before ``reset``.

    Args:
        spec: of the robot.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._env: MarkEnv | None = None

    def attach(self, env: Any) -> None:
        """Look into this environment from now on; wrappers around it do not matter.

        Raises:
            ForesightError: there is no mark in it.
        """
        inner = env.unwrapped
        if not isinstance(inner, MarkEnv):
            raise ForesightError(
                f"{type(inner).__name__} has no mark that could be read: use it in spot/mark."
            )
        self._env = inner

    def reset(self, observation: Observation, seed: int) -> None:
        """Nothing is remembered."""

    def act(self, observation: Observation) -> Action:
        """Float32 ``[3]``, within the bounds.

        Raises:
            ForesightError: no environment was attached.
        """
        if self._env is None:
            raise ForesightError("This expert looks into a simulator: call attach(env) first.")
        wanted = aimed_command(self._env.aim, self._env.pose, self._env.mark)
        return np.clip(wanted, self.spec.low, self.spec.high).astype(np.float32)


def aimed_command(
    aim: str, pose: Float64[np.ndarray, "3"], mark: Float64[np.ndarray, "2"]
) -> Float64[np.ndarray, "3"]:
    """The velocity (m/s, m/s, rad/s) that is to lead to an aim's best pose; it is not bounded.

    Args:
        aim: a key of `foresight.envs.spot.mark.AIMS`.
        pose: metres and the heading in radians, in the world.
        mark: where it stands, in the world.
    """
    turned, (distance, bearing) = pose[2], seen_from(pose, mark)
    if aim == "turn":
        return np.array([0.0, 0.0, GAIN * bearing])
    if aim == "sidestep":
        across = GAIN * (mark[1] - pose[1])
        return np.array([across * np.sin(turned), across * np.cos(turned), -GAIN * turned])
    if aim == "go-to":
        left_over = max(0.0, distance - NEAR / 2)
        return np.array([*(left_over * GAIN * np.array([np.cos(bearing), np.sin(bearing)])),
                         GAIN * bearing if left_over else 0.0])  # fmt: skip
    return np.array([np.inf, 0.0, -GAIN * turned])
