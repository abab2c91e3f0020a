"""Planning from where the actions under way will have led."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor

from foresight.core.observation import Observation
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder
from foresight.planning.config import MPCConfig
from foresight.planning.mpc import MPCPlanner
from foresight.policies.delayed.compensator import DelayCompensator, Lateness
from foresight.policies.delayed.queue import Delays
from foresight.policies.mpc import MPCFactory, MPCPolicy
from foresight.worldmodel.model import WorldModel


class DelayedPolicy(MPCPolicy):
    """`MPCPolicy` for a robot that acts, or sees, some steps late.

    At each of its decisions it encodes what it sees, rolls the model, which knows of no delay,
    through the actions that are still under way, and plans from there. Where the search is told to
    trust the prior alone (`foresight.planning.config.ALONE`), the prior acts from there.

    Args:
        model: trained.
        encoder: the one it was trained with.
        config: the search.
        hold: as for `MPCPolicy`.
        planner: as for `MPCPolicy`.
        lateness: of the robot.

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
        lateness: Lateness = Delays(),  # noqa: B008 (frozen)
    ) -> None:
        super().__init__(model, encoder, config, hold, planner)
        self.compensator = DelayCompensator(model.dynamics, model.config, self.hold, lateness)

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin episodes, with nothing under way."""
        super().reset_batch(observations, seeds)
        self.compensator.reset(len(observations), seeds[0])

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next action of every robot, which will be executed later."""
        self.compensator.tell(observations)
        return self.compensator.issue(super().act_batch(observations, active))

    def decide(self, stacked: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The first decision of each scene's plan, in [-1, 1], for when it takes effect."""
        return self.compensator.excite(self.planner.act(stacked, ahead=self.compensator.ahead))

    def notes_batch(self) -> list[dict[str, Any]]:
        """The delays that were found out."""
        return list(self.compensator.notes())


@dataclass(frozen=True)
class DelayedFactory(MPCFactory):
    """Makes the policy of a checkpoint for a robot with delays; picklable."""

    lateness: Lateness = field(default_factory=Delays)

    def __call__(self, spec: Spec) -> DelayedPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: as `MPCFactory`.
        """
        usual = super().__call__(spec)
        return DelayedPolicy(
            usual.model,
            usual.observer.encoder,
            self.search,
            usual.hold,
            usual.planner,
            self.lateness,
        )
