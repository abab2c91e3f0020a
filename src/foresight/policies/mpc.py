"""Acting with a jointly learned model: see, imagine with a value at the end, act, hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder, load_encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.policies.holding import HoldingPolicy
from foresight.worldmodel.config import WorldModelConfig
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder

RATE_TOLERANCE = 0.02
"""Relative difference of rates that is taken for rounding."""


class Deciding(Protocol):
    """Anything with a world model's configuration."""

    @property
    def config(self) -> WorldModelConfig:
        """How often it decides, and for which robot."""


def hold_of(model: Deciding, spec: Spec) -> int:
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


class MPCPolicy(HoldingPolicy):
    """Plans with a world model at each of its decisions.

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
        cameras = tuple(camera.name for camera in model.config.cameras)
        observer = ObservationEncoder(encoder, model.state, cameras=cameras)
        super().__init__(model.config, observer, hold or model.config.repeat)
        self.model = model
        self.planner = planner or MPCPlanner.of(model, config)

    def begin(self, seed: int) -> None:
        """Forget the last plan and restart the search's random stream."""
        self.planner.reset(seed)

    def decide(self, stacked: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The first decision of each scene's plan, in [-1, 1]."""
        return self.planner.act(stacked)


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
        model, encoder, hold = self.loaded(spec)
        return MPCPolicy(model, encoder, self.search, hold)

    def loaded(self, spec: Spec) -> tuple[WorldModel, Encoder, int]:
        """Model, encoder, and how many of the environment's decisions one of the model lasts.

        Raises:
            ForesightError: as calling it.
        """
        model = WorldModel.load(self.checkpoint).to(self.device)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        encoder = load_encoder(self.encoder or model.config.encoder, device=self.device)
        return model, encoder, hold_of(model, spec)
