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

from foresight.errors import ForesightError

FIT_ROWS = 20_000


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
        rng = np.random.default_rng(seed)
        rows = []
        per_episode = max(1, FIT_ROWS // len(episodes))
        for index in episodes:
            episode = torch.from_numpy(np.array(features[offsets[index] : offsets[index + 1]]))
            stacked = stack_history(episode.float(), config.history, config.stride)
            chosen = rng.permutation(len(stacked))[:per_episode]
            rows.append(stacked[np.sort(chosen)])
        sample = torch.cat(rows)
        state.mean.copy_(sample.mean(0))
        centred = sample - state.mean
        if config.kind == "standardise":
            deviation = centred.std(0)
            # A dimension that never moves carries nothing; do not blow its rounding noise up.
            state.scale.copy_(1 / deviation.clamp(min=1e-3 * float(deviation.mean()) + 1e-8))
        else:
            state._fit_pca(centred, seed)
        return state

    def _fit_pca(self, centred: Float[Tensor, "N X"], seed: int) -> None:
        """Leading axes, all divided by one number, so that distances keep their meaning."""
        if len(centred) < self.dim:
            raise ForesightError(
                f"A pca latent of {self.dim} dimensions needs as many steps and got "
                f"{len(centred)}: collect more or choose a smaller dim."
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            _, singular, axes = torch.svd_lowrank(centred, q=self.dim, niter=4)
        assert self.projection is not None
        self.projection.copy_(axes)
        variance = singular.square().mean() / max(1, len(centred) - 1)
        self.scale.fill_(float(variance.clamp(min=1e-12).rsqrt()))


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
