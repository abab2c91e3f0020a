"""From a live camera frame to the present latent state; each frame is encoded once."""

from __future__ import annotations

from collections import deque

import torch
from jaxtyping import Float, UInt8
from numpy import ndarray
from torch import Tensor

from foresight.perception.stream import FeatureStream
from foresight.worldmodel.state import StateEncoder


class Sight:
    """Keeps the features that the latent state's history needs."""

    def __init__(self, stream: FeatureStream, latent: StateEncoder) -> None:
        self.stream = stream
        self.latent = latent
        config = latent.config
        self.lags = [config.stride * k for k in range(config.history - 1, -1, -1)]
        self.memory: deque[Tensor] = deque(maxlen=max(self.lags) + 1)

    def reset(self) -> None:
        """Forget the last episode."""
        self.stream.reset()
        self.memory.clear()

    @torch.inference_mode()
    def see(self, frame: UInt8[ndarray, "H W 3"]) -> Float[Tensor, "1 Z"]:
        """Encode one new frame and return the present latent state."""
        self.memory.append(torch.as_tensor(self.stream.push(frame)).float())
        newest = len(self.memory) - 1
        stacked = torch.cat([self.memory[max(0, newest - lag)] for lag in self.lags])
        z: Tensor = self.latent(stacked)
        return z[None]
