"""Any one of many goals: the distance of a plan's end to the nearest of them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.planning.objective import Cost, Units


class NearestGoal:
    """Euclidean distance of the last imagined state to the nearest goal, mean over the members.

    Args:
        goals: one or more states.
        weight: factor on the distance.
        units: maps states to the units to measure in; raw if left out.

    Raises:
        ForesightError: there are no goals.
    """

    def __init__(
        self,
        goals: Float[Tensor, "K Z"],
        weight: float = 1.0,
        units: Units | None = None,
    ) -> None:
        if goals.ndim != 2 or not len(goals):
            raise ForesightError(
                f"Goals of shape {list(goals.shape)} cannot be aimed at: give one or more states, "
                "[K, Z]."
            )
        # Terms are also differentiated, which tensors made in inference mode do not allow.
        with torch.inference_mode(False):
            self.goals = (goals if units is None else units(goals)).detach().clone()
        self.weight, self.units = weight, units

    def cost(
        self, imagined: Float[Tensor, "E B S H1 Z"], actions: Float[Tensor, "B S H A"]
    ) -> Cost:
        """Distance `[B, S]`."""
        end = imagined[..., -1, :]
        if self.units is not None:
            end = self.units(end)
        far = torch.cdist(end.flatten(0, 2), self.goals.to(end)).amin(-1)
        return self.weight * far.view(end.shape[:-1]).mean(0)
