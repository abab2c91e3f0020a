"""From frozen features with a short history to the latent state that a world model predicts."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Sequence

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
from foresight.worldmodel.adapter import Adapter
from foresight.worldmodel.config import CameraInput, StateEncoderConfig
from foresight.worldmodel.dynamics.simnorm import simnorm
from foresight.worldmodel.patches import PatchPCA

MOST_DEVIATIONS = 10.0
"""Normalised proprioception beyond this is cut off: a sensor that jumps must not carry z away."""


def stack_history(
    steps: Float[Tensor, "*batch T w"], history: int, stride: int = 1
) -> Float[Tensor, "*batch T history*w"]:
    """Stack each step of an episode with its past, oldest first.

    Before the start step 0 stands in.
    """
    rows = torch.arange(steps.shape[-2], device=steps.device)[:, None]
    lags = stride * torch.arange(history - 1, -1, -1, device=steps.device)
    return steps[..., (rows - lags).clamp(min=0), :].flatten(-2)


class StateEncoder(nn.Module):
    """Features of each step, side by side for the cameras, to latent states.

    A step is ``w`` numbers: those that `compress` makes of each camera's features, then the robot's
    own. Steps are stacked with their past (`stack_history`) and read at once.

    Args:
        config: kind and sizes.
        step_features: numbers of a step that come from pictures.
        proprio: S, numbers of the robot's state; used if the configuration says so.

    Attributes:
        dim: Z.
        width: numbers of a stacked step.
    """

    dim: int
    proprio_mean: Tensor
    proprio_scale: Tensor

    def __init__(self, config: StateEncoderConfig, step_features: int, proprio: int) -> None:
        super().__init__()
        self.config = config
        self.step_features = step_features
        self.given = proprio
        self.joined = (config.joined or tuple(range(proprio))) if config.proprio else ()
        self.proprio = len(self.joined)
        if config.proprio and not proprio:
            raise ForesightError(
                "The state encoder was to join proprioception and the robot has none: leave "
                "`state.proprio` out."
            )
        if self.joined and max(self.joined) >= proprio:
            raise ForesightError(
                f"The state encoder was to join number {max(self.joined)} of the robot's state, "
                f"and it has {proprio}, counted from 0."
            )
        self.step_width = step_features + self.proprio
        self.width = self.step_width * config.history
        if self.proprio:
            self.register_buffer("proprio_mean", torch.zeros(self.proprio))
            self.register_buffer("proprio_scale", torch.ones(self.proprio))

    @abstractmethod
    def compress(self, features: Sequence[Float[Tensor, "*batch p d"]]) -> Float[Tensor, "*b f"]:
        """Numbers of a step from each camera's tokens ``[..., P, D]``."""

    @abstractmethod
    def forward(self, stacked: Float[Tensor, "*batch X"]) -> Float[Tensor, "*batch Z"]:
        """The latent state of a stacked step."""

    def join(
        self, numbers: Float[Tensor, "*batch f"], proprio: Float[Tensor, "*batch S"] | None
    ) -> Float[Tensor, "*batch w"]:
        """A step: numbers of pictures and, where they are joined, those of the robot.

        Raises:
            ForesightError: the robot's numbers are missing, or of another count.
        """
        if not self.proprio:
            return numbers
        if proprio is None or proprio.shape[-1] != self.given:
            count = 0 if proprio is None else proprio.shape[-1]
            raise ForesightError(
                f"This state encoder joins {self.given} numbers of proprioception and got "
                f"{count}: give the state of the robot that it was trained on."
            )
        return torch.cat([numbers, proprio[..., list(self.joined)].to(numbers)], dim=-1)

    def stack(self, steps: Float[Tensor, "*batch T w"]) -> Float[Tensor, "*batch T X"]:
        """Steps of whole episodes, each beside its past."""
        return stack_history(steps, self.config.history, self.config.stride)

    def episode(self, steps: Float[Tensor, "T w"]) -> Float[Tensor, "T Z"]:
        """The latent states of one whole episode."""
        return self(self.stack(steps))

    @torch.no_grad()
    def fit_proprio(self, proprio: Float[Tensor, "n S"]) -> None:
        """Take the scales of the robot's numbers from these."""
        if self.proprio:
            own = proprio.float()[:, list(self.joined)]
            deviation = own.std(0)
            self.proprio_mean.copy_(own.mean(0))
            self.proprio_scale.copy_(
                torch.where(deviation > 1e-4, 1 / deviation.clamp(min=1e-4), torch.ones(()))
            )

    def _split(self, stacked: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures' numbers ``[..., history, f]`` and normalised proprioception, flat."""
        if stacked.shape[-1] != self.width:
            raise ForesightError(
                f"The latent state takes {self.width} stacked features and got "
                f"{stacked.shape[-1]}: use the encoder, readout and history it was fitted with."
            )
        steps = stacked.unflatten(-1, (self.config.history, self.step_width))
        if not self.proprio:
            return steps, stacked[..., :0]
        own = (steps[..., self.step_features :] - self.proprio_mean) * self.proprio_scale
        bounded = own.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        return steps[..., : self.step_features], bounded.flatten(-2)


class LinearState(StateEncoder):
    """An affine map ``z = (x - mean) @ projection * scale`` whose statistics travel with it.

    ``projection`` is absent (no product) unless the kind is ``pca``. Proprioception, where it is
    joined, follows as it is, normalised.
    """

    mean: Tensor
    scale: Tensor
    projection: Tensor | None

    def __init__(self, config: StateEncoderConfig, features: int, proprio: int = 0) -> None:
        super().__init__(config, features, proprio)
        self.features = features
        width = features * config.history
        kept = config.dim if config.kind == "pca" else width
        if kept > width:
            raise ForesightError(
                f"A pca latent of {config.dim} dimensions does not fit {width} stacked features: "
                f"choose a dim of at most {width}."
            )
        self.dim = kept + self.proprio * config.history
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(kept))
        self.register_buffer(
            "projection", torch.zeros(width, kept) if config.kind == "pca" else None
        )

    def compress(self, features: Sequence[Float[Tensor, "*batch p d"]]) -> Float[Tensor, "*b f"]:
        """All numbers of all cameras."""
        return torch.cat([camera.flatten(-2) for camera in features], dim=-1)

    def forward(self, stacked: Float[Tensor, "*batch X"]) -> Float[Tensor, "*batch Z"]:
        """The latent state of a stacked step."""
        pictures, own = self._split(stacked)
        centred = pictures.flatten(-2) - self.mean
        if self.projection is not None:
            centred = centred @ self.projection
        z = centred * self.scale
        return torch.cat([z, own], dim=-1) if self.proprio else z

    def present(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch F"]:
        """The newest features that a latent state stands for."""
        stacked = z[..., : len(self.scale)] / self.scale
        if self.projection is not None:
            stacked = stacked @ self.projection.T
        return (stacked + self.mean)[..., -self.features :]

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        offsets: np.ndarray,
        episodes: Sequence[int],
        config: StateEncoderConfig,
        seed: int = 0,
        proprio: Float[Tensor, "N S"] | None = None,
    ) -> LinearState:
        """Estimate the statistics on the given episodes (the training split only).

        Args:
            features: float `[N, F]`, all steps of all episodes, usually a memory map.
            offsets: int `[episodes + 1]`, where each episode starts.
            episodes: indices of the episodes to learn from.
            config: the kind of latent state.
            seed: seeds the choice of rows and the randomised decomposition.
            proprio: the robot's numbers at all steps, where they are joined.
        """
        state = cls(config, features.shape[1], 0 if proprio is None else proprio.shape[1])
        if proprio is not None:
            rows = [torch.arange(int(offsets[e]), int(offsets[e + 1])) for e in episodes]
            state.fit_proprio(proprio[torch.cat(rows)])
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
        axes = principal_axes(lambda: stacked, mean, len(state.scale), seed)
        assert state.projection is not None
        state.projection.copy_(axes.directions)
        state.scale.fill_(float(axes.variances.mean().clamp(min=1e-12).rsqrt()))
        return state


class AdapterState(StateEncoder):
    """Numbers of each patch (`PatchPCA`, fitted for each camera), a learned adapter, SimNorm.

    Patches of several cameras stand side by side; one small network reads them all.
    """

    def __init__(
        self, config: StateEncoderConfig, cameras: Sequence[CameraInput], proprio: int = 0
    ) -> None:
        patches = sum(camera.patches for camera in cameras)
        super().__init__(config, patches * config.n_components, proprio)
        self.dim = config.dim
        self.pca = nn.ModuleList(
            PatchPCA(camera.patches, camera.dim, config.n_components) for camera in cameras
        )
        self.adapter = Adapter(
            patches,
            config.n_components,
            config.history,
            self.proprio,
            config.hidden,
            config.dim,
            config.normed,
        )

    def fit(self, *tokens: Float[Tensor, "n p d"]) -> float:
        """Fit each camera's axes on its tokens; the least share of variance that is kept.

        Raises:
            ForesightError: as `PatchPCA.fit`.
        """
        return min(pca.fit(seen) for pca, seen in zip(self._pca, tokens, strict=True))

    def compress(self, features: Sequence[Float[Tensor, "*batch p d"]]) -> Float[Tensor, "*b f"]:
        """Numbers of every patch of every camera."""
        numbers = [pca(tokens) for pca, tokens in zip(self._pca, features, strict=True)]
        return numbers[0] if len(numbers) == 1 else torch.cat(numbers, dim=-1)

    def forward(self, stacked: Float[Tensor, "*batch X"]) -> Float[Tensor, "*batch Z"]:
        """The latent state of a stacked step."""
        pictures, own = self._split(stacked)
        return simnorm(self.adapter(pictures, own))

    @property
    def _pca(self) -> list[PatchPCA]:
        return [pca for pca in self.pca if isinstance(pca, PatchPCA)]


def build_state(
    config: StateEncoderConfig, cameras: Sequence[CameraInput], proprio: int = 0
) -> LinearState | AdapterState:
    """The state encoder that the configuration describes.

    Raises:
        ForesightError: sizes that do not fit.
    """
    if config.kind == "adapter":
        return AdapterState(config, cameras, proprio)
    return LinearState(config, sum(camera.patches * camera.dim for camera in cameras), proprio)


def encode_latents(
    state: StateEncoder,
    features: np.ndarray,
    offsets: np.ndarray,
    proprio: Float[Tensor, "N S"] | None = None,
) -> Float[Tensor, "N Z"]:
    """Latent states of every step of every episode, float32, in the order of ``features``.

    Args:
        state: fitted.
        features: numbers of each step, ``[N, f]``.
        offsets: where each episode starts.
        proprio: the robot's numbers, where they are joined.
    """
    latents = torch.empty(len(features), state.dim)
    with torch.no_grad():
        for start, end in itertools.pairwise(offsets):
            episode = torch.from_numpy(np.array(features[start:end])).float()
            own = None if proprio is None else proprio[start:end]
            latents[start:end] = state.episode(state.join(episode, own))
    return latents
