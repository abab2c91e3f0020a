"""From frozen features with a short history to the latent state that a world model predicts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.perception.axes import (
    chosen_steps,
    mean_and_deviation,
    principal_axes,
    standard_scale,
)


@dataclass(frozen=True)
class LatentConfig:
    """How features become a latent state."""

    kind: Literal["raw", "standardise", "pca"] = "standardise"
    """raw: the features themselves (the sources); standardise: zero mean and unit variance in every
    dimension; pca: projected on the leading principal axes and scaled to unit mean variance."""
    dim: int = 128
    """Latent width for `pca`; the other kinds keep the width of the stacked features."""
    history: int = 1
    """How many past steps are stacked; 2 or more lets the state hold velocities."""
    stride: int = 1
    """Steps between stacked features."""


def stack_history(
    features: Float[Tensor, "T F"], history: int, stride: int = 1
) -> Float[Tensor, "T history*F"]:
    """Stack each step of one episode with its past, oldest first.

    Before the start step 0 stands in.
    """
    steps = torch.arange(len(features))[:, None]
    lags = stride * torch.arange(history - 1, -1, -1)
    return features[(steps - lags).clamp(min=0)].flatten(1)


class LatentState(nn.Module):
    """An affine map ``z = (x - mean) @ projection * scale`` whose statistics travel with it.

    ``projection`` is absent (no product) unless the kind is ``pca``.
    """

    mean: Tensor
    scale: Tensor
    projection: Tensor | None

    def __init__(self, config: LatentConfig, features: int) -> None:
        super().__init__()
        self.config = config
        self.features = features
        width = features * config.history
        self.dim = config.dim if config.kind == "pca" else width
        if self.dim > width:
            raise ForesightError(
                f"A pca latent of {config.dim} dimensions does not fit {width} stacked features: "
                f"choose a dim of at most {width}."
            )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(self.dim))
        self.register_buffer(
            "projection", torch.zeros(width, self.dim) if config.kind == "pca" else None
        )

    def forward(self, stacked: Float[Tensor, "*batch X"]) -> Float[Tensor, "*batch Z"]:
        """Map features stacked over the history (width ``features * history``) to ``z``."""
        if stacked.shape[-1] != len(self.mean):
            raise ForesightError(
                f"The latent state takes {len(self.mean)} stacked features and got "
                f"{stacked.shape[-1]}: use the encoder, readout and history it was fitted with."
            )
        centred = stacked - self.mean
        if self.projection is not None:
            centred = centred @ self.projection
        return centred * self.scale

    def episode(self, features: Float[Tensor, "T F"]) -> Float[Tensor, "T Z"]:
        """The latent states of one whole episode."""
        return self(stack_history(features, self.config.history, self.config.stride))

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        offsets: np.ndarray,
        episodes: Sequence[int],
        config: LatentConfig,
        seed: int = 0,
    ) -> LatentState:
        """Estimate the statistics on the given episodes (the training split only).

        Args:
            features: float `[N, F]`, all steps of all episodes, usually a memory map.
            offsets: int `[episodes + 1]`, where each episode starts.
            episodes: indices of the episodes to learn from.
            config: the kind of latent state.
            seed: seeds the choice of rows and the randomised decomposition.
        """
        state = cls(config, features.shape[1])
        if config.kind == "raw":
            return state
        stacked = []
        for index, steps in chosen_steps(offsets, episodes, seed):
            episode = torch.from_numpy(np.array(features[offsets[index] : offsets[index + 1]]))
            stacked.append(stack_history(episode.float(), config.history, config.stride)[steps])
        mean, deviation, _ = mean_and_deviation(lambda: stacked)
        state.mean.copy_(mean)
        if config.kind == "standardise":
            state.scale.copy_(standard_scale(deviation))
            return state
        # All axes are divided by one number, so that distances keep their meaning.
        axes = principal_axes(lambda: stacked, mean, state.dim, seed)
        assert state.projection is not None
        state.projection.copy_(axes.directions)
        state.scale.fill_(float(axes.variances.mean().clamp(min=1e-12).rsqrt()))
        return state


def encode_latents(
    state: LatentState, features: np.ndarray, offsets: np.ndarray
) -> Float[Tensor, "N Z"]:
    """Latent states of every step of every episode, float32, in the order of ``features``."""
    latents = torch.empty(len(features), state.dim)
    with torch.no_grad():
        for start, end in itertools.pairwise(offsets):
            episode = torch.from_numpy(np.array(features[start:end])).float()
            latents[start:end] = state.episode(episode)
    return latents
