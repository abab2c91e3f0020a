"""Policies of networks that take in flat numbers: the robot's state, or pooled tokens."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.policy import BatchPolicy
from foresight.core.spec import Spec
from foresight.perception.senses import FlatRobot, Senses
from foresight.policies.mpc import expect_robot
from foresight.worldmodel.actions import scaled


class FlatPolicy(BatchPolicy):
    """Senses, and decides at every step.

    Args:
        robot: whose bounds -1 and 1 stand for.
        senses: the ones that the network learned with.

    Raises:
        ForesightError: another encoder or readout.
    """

    def __init__(self, robot: FlatRobot, senses: Senses) -> None:
        if senses.eyes is not None:
            encoder, readout = senses.eyes
            robot.expect_encoder(encoder.fingerprint, readout.fingerprint)
        self.robot, self.senses = robot, senses

    @abstractmethod
    def begin(self, count: int, seed: int) -> None:
        """Begin episodes of ``count`` robots; all randomness follows from the seed."""

    @abstractmethod
    def decide(self, inputs: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The next action of every robot, in [-1, 1]."""

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin episodes; a random stream, one for all, starts from the first seed."""
        self.senses.reset()
        self.begin(len(observations), seeds[0])

    @torch.no_grad()
    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next actions, in the environment's units."""
        inputs = torch.from_numpy(self.senses.read(observations))
        action: np.ndarray = scaled(self.decide(inputs), self.robot).float().numpy()
        return action


def senses_of(robot: FlatRobot, spec: Spec, whose: str, device: str = "cpu") -> Senses:
    """The senses that a checkpoint's network learned with, for the robot that it is to act for.

    Raises:
        ForesightError: other actions, or another width of the input.
    """
    expect_robot(robot, spec, whose)
    senses = Senses(robot.encoder, robot.readout, device)
    if not robot.encoder and robot.spec is not None:
        robot.spec.expect(spec, whose, "the environment", parts=("state",))
    return senses
