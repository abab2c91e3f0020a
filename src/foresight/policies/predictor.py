"""Reaching a goal picture with a frame-causal predictor of a frozen encoder's tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation, Picture
from foresight.core.spec import Spec
from foresight.perception.ac import represent
from foresight.perception.encoder import Encoder, load_encoder
from foresight.planning.lewm import FAST_PLAN, BlockPlanner, LeWMPlan
from foresight.planning.predictor import PredictorDynamics
from foresight.policies.goal import PlanningPolicy, picture_of, read_goal
from foresight.worldmodel.actions import scaled
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import PAST


class PredictorView:
    """Tokens of single frames, and the robot's state beside those of the present.

    Args:
        trained: the predictor.
        eyes: the encoder that it was trained on.
        dynamics: that imagines; it knows the bounds of the actions.
    """

    history = PAST

    def __init__(
        self, trained: TrainedPredictor, eyes: Encoder, dynamics: PredictorDynamics
    ) -> None:
        self.robot, self.eyes, self.bounds = trained.config.robot, eyes, dynamics
        self.every, self.actions = dynamics.every, dynamics.actions

    def see(self, observation: Observation) -> Float[Tensor, " D"]:
        """As `GoalView`."""
        tokens = self.aim(picture_of(observation, self.robot.camera))
        return torch.cat([tokens, self.robot.felt(observation.state).to(tokens)])

    def aim(self, picture: Picture) -> Float[Tensor, " G"]:
        """As `GoalView`."""
        frames = self.eyes.prepare(np.array(picture)[None])
        return represent(self.eyes, frames[None])[0].flatten()

    def scaled(self, action: Float[Tensor, " A"]) -> Float[Tensor, " A"]:
        """As `GoalView`."""
        return scaled(action, self.bounds)


class PredictorPolicy(PlanningPolicy):
    """Model-predictive control towards the goal's tokens.

    Args:
        trained: the predictor.
        eyes: the encoder that it was trained on.
        plan: how to search.
        goal: see `GoalPolicy`.
    """

    def __init__(
        self,
        trained: TrainedPredictor,
        eyes: Encoder,
        plan: LeWMPlan = FAST_PLAN,
        goal: Picture | None = None,
    ) -> None:
        dynamics = PredictorDynamics(trained)
        view = PredictorView(trained, eyes, dynamics)
        super().__init__(view, BlockPlanner(dynamics, plan), goal)


@dataclass(frozen=True)
class PredictorFactory:
    """Makes the planning policy of a checkpoint; picklable."""

    checkpoint: str
    plan: LeWMPlan = field(default_factory=lambda: FAST_PLAN)
    device: str = "cpu"
    goal: str | None = None
    """A picture file; the observations' camera `goal.GOAL` if not given."""

    def __call__(self, spec: Spec) -> PredictorPolicy:
        """Load predictor and encoder and build the policy.

        Raises:
            ForesightError: they belong to another robot, or are damaged, or the picture cannot be
                read.
        """
        trained = TrainedPredictor.load(self.checkpoint)
        eyes = load_encoder(trained.config.encoder, self.device)
        trained.config.expect_encoder(eyes.fingerprint)
        expect_planned(trained, spec, self.checkpoint)
        trained.network.to(eyes.device)
        return PredictorPolicy(trained, eyes, self.plan, read_goal(self.goal))


def expect_planned(trained: TrainedPredictor, spec: Spec, checkpoint: str) -> None:
    """Refuse a robot that a predictor was not made for, or one that it cannot be planned for.

    Raises:
        ForesightError: see above.
    """
    config = trained.config
    if config.spec is None or config.robot.pose:
        raise ForesightError(
            f"The predictor {checkpoint} does not know its robot's own actions, so it cannot be "
            "planned with: train one on a dataset's actions, without a pose."
        )
    parts = ("action", "state") if config.sizes.states else ("action",)
    config.spec.expect(spec, f"The predictor {checkpoint}", "the environment", parts)
