"""A fresh world model for a robot, fitted to the first episodes that it was seen in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.episode import Episode
from foresight.core.spec import Spec
from foresight.perception.encoder import Encoder
from foresight.training.online_config import OnlineConfig
from foresight.training.run_data import adapter_of
from foresight.worldmodel.actions import action_bounds
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.heads.scalar import reward_range
from foresight.worldmodel.model import WorldModel, initialise

AXES_PICTURES = 4096
"""Observations that the axes are fitted on, at least, where there are as many."""


def build_model(
    config: OnlineConfig,
    encoder: Encoder,
    spec: Spec,
    cameras: Sequence[str],
    rounds: Sequence[tuple[Sequence[Episode], Sequence[Tensor]]],
) -> WorldModel:
    """A model with fitted axes and scales; its weights follow from torch's generator.

    Args:
        config: sizes.
        encoder: what the tokens are of.
        spec: of the robot.
        cameras: those that are seen, in order; their tokens are side by side.
        rounds: episodes, and the tokens of their observations ``[T, P, D]``, or of all views of
            them ``[V, T, P, D]``, of which the first counts.
    """
    seen = [
        tokens[0] if tokens.ndim == 4 else tokens for _, several in rounds for tokens in several
    ]
    states = [episode.state for episodes, _ in rounds for episode in episodes]
    every = max(1, sum(map(len, seen)) // AXES_PICTURES)
    chosen = torch.cat([tokens[::every] for tokens in seen])
    patches = chosen.shape[1] // len(cameras)
    proprio = torch.cat([torch.from_numpy(state) for state in states])
    low, high = action_bounds(spec)
    earned = [e.reward for episodes, _ in rounds for e in episodes if e.reward is not None]
    rewards = torch.from_numpy(np.concatenate(earned)) if earned else torch.zeros(0)
    return fitted(
        WorldModelConfig(
            task=config.task,
            actions=len(spec.action),
            action_low=low,
            action_high=high,
            cameras=tuple(CameraInput(name, patches, chosen.shape[2]) for name in cameras),
            state=StateEncoderConfig(
                kind="adapter",
                dim=config.latent,
                history=config.history,
                n_components=config.n_components,
                normed=config.algorithm == "sac",
                proprio=bool(config.joints),
                joined=config.joints,
            ),
            dynamics=DynamicsConfig(
                "simnorm", members=config.members, hidden=config.hidden, layers=2
            ),
            heads=HeadsConfig(
                hidden=config.hidden,
                continuation=config.predicts_ends,
                proprio=proprio.shape[1] if config.proprio else 0,
                unbiased=config.algorithm == "sac",
            ),
            proprio=proprio.shape[1] if config.joints else 0,
            discount=config.discount,
            repeat=config.repeat,
            rewards=reward_range(rewards, config.repeat),
            encoder=config.encoder,
            encoder_fingerprint=encoder.fingerprint,
            spec=spec,
        ),
        chosen.split(patches, dim=1),
        proprio,
    )


def fitted(
    config: WorldModelConfig, tokens: Sequence[Float[Tensor, "n p d"]], proprio: Tensor
) -> WorldModel:
    """A fresh model with its axes and scales.

    Args:
        config: of a model with a state adapter.
        tokens: some of each camera, to fit the axes on.
        proprio: the robot's own numbers ``[n, S]``.
    """
    model = WorldModel(config)
    adapter_of(model).fit(*tokens)
    model.state.fit_proprio(proprio)
    if model.proprio is not None:
        model.proprio.fit(proprio)
    initialise(model)
    return model
