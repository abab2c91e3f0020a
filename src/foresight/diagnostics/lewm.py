"""A LeWorldModel as a forecaster of its own embeddings, a block of actions at a time."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.clip import fit_frames
from foresight.diagnostics.drift import Track
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.lewm.rollout import FastPredictor


class LeWMForecaster:
    """Predicts embeddings; a step of its horizons is ``every`` steps of the robot.

    Args:
        model: trained, in eval mode.
    """

    limit: int | None = None

    def __init__(self, model: LeWorldModel) -> None:
        self.model, self._fast = model, FastPredictor(model)

    def open_loop(
        self, start: Float[Tensor, "B D"], controls: Float[Tensor, "B L W"]
    ) -> Float[Tensor, "B L 1 D"]:
        """Imagine from one embedding."""
        none = controls[:, :0]
        return self._fast.imagine(start[:, None], none, controls[:, None])[:, 0, 1:, None]

    def closed_loop(
        self, seen: Float[Tensor, "B L D"], controls: Float[Tensor, "B L W"]
    ) -> Float[Tensor, "B L 1 D"]:
        """One block ahead of each true embedding, with as much of the true past as it can see."""
        history = self.model.config.sizes.history
        found = []
        for last in range(seen.shape[1]):
            first = max(0, last + 1 - history)
            window = slice(first, last + 1)
            found.append(self.model.predict(seen[:, window], controls[:, window])[:, -1])
        return torch.stack(found, 1)[:, :, None]

    def track(
        self, frames: UInt8[np.ndarray, "T H W 3"], actions: Float[np.ndarray, "T A"]
    ) -> Track:
        """A track of one episode: every so many-th frame, and all actions between.

        Raises:
            ForesightError: another number of actions than the model's.
        """
        config = self.model.config
        if actions.shape != (len(frames), config.actions):
            raise ForesightError(
                f"Actions of shape {list(actions.shape)} do not fit {len(frames)} frames of this "
                f"LeWorldModel, which takes {config.actions} numbers each: give its own robot."
            )
        kept = fit_frames(frames[:: config.every], config.sizes.image)
        told = self.model.normalised(torch.from_numpy(np.array(actions, np.float32)))
        whole = len(kept) * config.every - len(told)
        # Nothing is imagined from the last frame, so what fills its block up is never read.
        blocks = torch.cat([told, told[-1:].expand(whole, -1)]).view(len(kept), -1)
        with torch.no_grad():
            z = self.model.encode(torch.from_numpy(kept)).float()
        return Track(z, z[:, None], blocks)
