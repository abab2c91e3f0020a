"""Those who can walk Spot: the gait for its joints, and the joystick itself for its gait."""

from __future__ import annotations

import numpy as np

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.policy import Action, Policy
from foresight.core.spec import Spec
from foresight.envs.spot.gait import GaitConfig, Trot
from foresight.envs.spot.model import CONTROL_STEP
from foresight.envs.spot.tasks import ACTION_SCALE, JOYSTICK, POSE, state_axes


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
