"""Reaching a goal picture with a LeWorldModel, by planning or by its inverse model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.observation import Observation, Picture
from foresight.core.spec import Spec
from foresight.data.clip import fit_frames
from foresight.planning.lewm import LeWMPlan, LeWMPlanner
from foresight.policies.goal import GoalPolicy, PlanningPolicy, picture_of, read_goal
from foresight.policies.mpc import expect_robot
from foresight.worldmodel.lewm.inverse import GoalInverse
from foresight.worldmodel.lewm.model import LeWorldModel


class LeWMView:
    """What a LeWorldModel sees.

    Args:
        model: trained, in eval mode.
    """

    def __init__(self, model: LeWorldModel) -> None:
        config = model.config
        self.model, self.camera = model, config.camera
        self.every, self.history, self.actions = config.every, config.sizes.history, config.actions

    def see(self, observation: Observation) -> Float[Tensor, " D"]:
        """As `GoalView`."""
        return self.aim(picture_of(observation, self.camera))

    def aim(self, picture: Picture) -> Float[Tensor, " D"]:
        """As `GoalView`."""
        size = self.model.config.sizes.image
        shown = fit_frames(np.array(picture)[None], size)  # files give arrays that are read-only
        return self.model.encode(torch.from_numpy(shown))[0]

    def scaled(self, action: Float[Tensor, " A"]) -> Float[Tensor, " A"]:
        """As `GoalView`."""
        return self.model.scaled(action)


class LeWMPolicy(PlanningPolicy):
    """Model-predictive control towards the goal's embedding.

    Args:
        model: trained, in eval mode.
        plan: how to search.
        goal: see `GoalPolicy`.
    """

    def __init__(
        self, model: LeWorldModel, plan: LeWMPlan | None = None, goal: Picture | None = None
    ) -> None:
        super().__init__(LeWMView(model), LeWMPlanner(model, plan or LeWMPlan()), goal)


class InversePolicy(GoalPolicy):
    """A goal-conditioned inverse model: one forward pass for each block of actions.

    Args:
        inverse: trained, in eval mode.
        goal: see `GoalPolicy`.
    """

    def __init__(self, inverse: GoalInverse, goal: Picture | None = None) -> None:
        super().__init__(LeWMView(inverse.model), goal)
        self.inverse = inverse

    def decide(self) -> Float[Tensor, "H A"]:
        """The next block."""
        block: Tensor = self.inverse(self.seen[-1:], self.goal[None])[0]
        return block.view(self.view.every, -1)


@dataclass(frozen=True)
class LeWMFactory:
    """Makes the planning policy of a checkpoint; picklable."""

    checkpoint: str
    plan: LeWMPlan = field(default_factory=LeWMPlan)
    device: str = "cpu"
    goal: str | None = None
    """A picture file; the observations' camera `GOAL` if not given."""

    def __call__(self, spec: Spec) -> LeWMPolicy:
        """Load the model and build the policy.

        Raises:
            ForesightError: the model belongs to another robot or is damaged, or the picture cannot
                be read.
        """
        model = LeWorldModel.load(self.checkpoint).to(self.device)
        expect_robot(model.config, spec, f"The model {self.checkpoint}")
        return LeWMPolicy(model, self.plan, read_goal(self.goal))


@dataclass(frozen=True)
class InverseFactory:
    """Makes the policy of an inverse model's checkpoint; picklable."""

    checkpoint: str
    device: str = "cpu"
    goal: str | None = None
    """As in `LeWMFactory`."""

    def __call__(self, spec: Spec) -> InversePolicy:
        """Load the model and build the policy.

        Raises:
            ForesightError: as `LeWMFactory`.
        """
        inverse = GoalInverse.load(self.checkpoint).to(self.device)
        expect_robot(inverse.model.config, spec, f"The policy {self.checkpoint}")
        return InversePolicy(inverse, read_goal(self.goal))
