"""What of a world model a `Learner` teaches."""

from __future__ import annotations

from torch import nn

from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.simnorm import SimNormDynamics
from foresight.worldmodel.heads.mlp_reward import RewardModel
from foresight.worldmodel.heads.prior import ActionPrior
from foresight.worldmodel.heads.scalar import ScalarHead
from foresight.worldmodel.model import WorldModel


def learning_parts(
    model: WorldModel,
) -> tuple[SimNormDynamics, ScalarHead | None, ScalarHead | None, ActionPrior]:
    """Dynamics, reward, values and prior of a model that can be learned with.

    Raises:
        ForesightError: the model lacks one of them, or has another kind; reward and values may
            both be missing.
    """
    dynamics, reward, value, prior = model.dynamics, model.reward, model.value, model.prior
    if (
        isinstance(dynamics, SimNormDynamics)
        and not isinstance(reward, RewardModel)
        and (reward is None) == (value is None)
        and prior is not None
    ):
        return dynamics, reward, value, prior
    heads = model.config.heads
    raise ForesightError(
        f"A model of {model.config.dynamics.kind} dynamics, reward {heads.reward}, {heads.values} "
        f"values and {'a' if heads.prior else 'no'} prior cannot be learned with: choose simnorm, "
        "twohot, at least 2, and a prior; where there are no rewards, none and 0."
    )


def those(*parts: nn.Module | None) -> nn.ModuleList:
    """The parts that there are."""
    return nn.ModuleList([part for part in parts if part is not None])
