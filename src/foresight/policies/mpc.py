"""Acting with a jointly learned model: see, imagine with a value at the end, act, hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float32

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import BatchPolicy
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder, load_encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder

RATE_TOLERANCE = 0.02
"""Relative difference of rates that is taken for rounding."""


def hold_of(model: WorldModel, spec: Spec) -> int:
    """How many decisions of an environment, or a dataset, one decision of the model lasts.

    A model that does not say which robot it was made for counts in steps of the environment.

    Raises:
        ForesightError: the environment's rate is no multiple of the model's.
    """
    known = model.config.spec
    ratio = float(model.config.repeat) if known is None else spec.fps / known.fps
    hold = round(ratio)
    if hold < 1 or abs(ratio - hold) > RATE_TOLERANCE * hold:
        assert known is not None
        raise ForesightError(
            f"A model that decides {known.fps:g} times a second cannot act in an environment, or "
            f"be measured on a dataset, of {spec.fps:g} decisions a second: choose one with a "
            "whole multiple of the model's rate."
        )
    return hold


def expect_robot(config: Acting, spec: Spec, whose: str) -> None:
    """Refuse to act for a robot that a model was not made for.

    Args:
        config: of the model.
        spec: of the robot.
        whose: of the model, for the sentence.

    Raises:
        ForesightError: other actions; where the model knows its robot, one sentence that names the
            first difference.
    """
    if config.spec is not None:
        config.spec.expect(spec, whose, "the environment", parts=("action",))
    if config.actions != len(spec.action):
        raise ForesightError(
            f"{whose} and the environment do not fit: the one has {config.actions} numbers of "
            f"action, the other {len(spec.action)}."
        )


class Acting(Protocol):
    """What every configuration of something that acts says."""

    @property
    def actions(self) -> int:
        """A."""

    @property
    def spec(self) -> Spec | None:
        """The robot, where it is known."""


class MPCPolicy(BatchPolicy):
    """Decides every ``hold`` steps of the environment and holds the decision in between.

    Args:
        model: trained.
        encoder: the one it was trained with.
        config: the search.
        hold: the model's ``repeat`` if not given, which is right where the environment repeats no
            action itself; see `hold_of`.
        planner: plans instead of an `MPCPlanner` of this model and search.

    Raises:
        ForesightError: the model belongs to another encoder.
    """

    def __init__(
        self,
        model: WorldModel,
        encoder: Encoder,
        config: MPCConfig,
        hold: int | None = None,
        planner: MPCPlanner | None = None,
    ) -> None:
        model.config.expect_encoder(encoder.fingerprint)
        self.model = model
        self.cameras = tuple(camera.name for camera in model.config.cameras)
        self.observer = ObservationEncoder(encoder, model.state, cameras=self.cameras)
        self.planner = planner or MPCPlanner.of(model, config)
        self.hold = hold or model.config.repeat
        self.step = 0
        self._held: Float32[np.ndarray, "N A"] = np.zeros((1, model.config.actions), np.float32)

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin episodes; the search's random stream, one for all, starts from the first seed."""
        self.observer.reset()
        self.planner.reset(seeds[0])
        self.step = 0

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next action of every robot, within the bounds."""
        if self.step % self.hold == 0:
            proprio = None
            if self.model.config.state.proprio:
                felt = np.stack([observation.state for observation in observations])
                proprio = torch.from_numpy(felt)
            pictures = pictures_of(observations, self.cameras)
            action = self.planner.act(self.observer.see(pictures, proprio))
            self._held = self.model.scaled(action).float().cpu().numpy()
        self.step += 1
        return self._held


@dataclass(frozen=True)
class MPCFactory:
    """Makes the policy of a checkpoint in whatever process it is to act; picklable."""

    checkpoint: str
    search: MPCConfig = field(default_factory=MPCConfig)
    encoder: str | None = None
    """The one it was trained with if not given."""
    device: str = "cpu"

    def __call__(self, spec: Spec) -> MPCPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: the model belongs to another encoder or robot, is damaged, or decides at
                a rate that does not divide the environment's.
        """
        model = WorldModel.load(self.checkpoint).to(self.device)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        encoder = load_encoder(self.encoder or model.config.encoder, device=self.device)
        return MPCPolicy(model, encoder, self.search, hold_of(model, spec))
