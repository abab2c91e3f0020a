"""See, decide, hold: what all policies share whose model decides every few steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from foresight.core.observation import Observation, pictures_of
from foresight.core.policy import BatchPolicy
from foresight.worldmodel.actions import scaled
from foresight.worldmodel.config import WorldModelConfig
from foresight.worldmodel.observation import ObservationEncoder


class HoldingPolicy(BatchPolicy):
    """Decides every ``hold`` steps of the environment and holds the decision in between.

    Args:
        config: of the model, whose cameras are seen and whose bounds -1 and 1 stand for.
        observer: turns observations into stacked steps.
        hold: steps.
    """

    def __init__(self, config: WorldModelConfig, observer: ObservationEncoder, hold: int) -> None:
        self.observer, self.hold = observer, hold
        self.cameras = tuple(camera.name for camera in config.cameras)
        self.step = 0
        self._config = config
        self._held: Float32[np.ndarray, "N A"] = np.zeros((1, config.actions), np.float32)

    @abstractmethod
    def decide(self, stacked: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The next decision of every scene, in [-1, 1], from stacked steps."""

    def begin(self, seed: int) -> None:
        """Forget the last episodes; all randomness of the next follows from the seed."""

    def reset_batch(self, observations: Sequence[Observation], seeds: Sequence[int]) -> None:
        """Begin episodes; a random stream, one for all, starts from the first seed."""
        self.observer.reset()
        self.begin(seeds[0])
        self.step = 0

    def act_batch(
        self, observations: Sequence[Observation], active: Sequence[bool] | None = None
    ) -> Float32[np.ndarray, "N A"]:
        """The next action of every robot, within the bounds."""
        if self.step % self.hold == 0:
            action = self.decide(self.look(observations))
            self._held = scaled(action, self._config).float().cpu().numpy()
        self.step += 1
        return self._held

    def look(self, observations: Sequence[Observation]) -> Float[Tensor, "N X"]:
        """Take in what is seen and felt at a decision: the stacked step of every scene."""
        proprio = None
        if self._config.state.proprio:
            felt = np.stack([observation.state for observation in observations])
            proprio = torch.from_numpy(felt)
        return self.observer.see(pictures_of(observations, self.cameras), proprio)
