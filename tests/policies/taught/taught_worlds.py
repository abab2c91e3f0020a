"""A point that glides on a ring of places: small enough to know everything about it."""

from __future__ import annotations

import math

import torch

from foresight.policies.taught.demonstration import Shown
from foresight.policies.taught.heads import TaughtConfig, TaughtHeads
from foresight.training.replay import Replay
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel, initialise

PATCHES, AXES, STEP = 4, 6, 0.25
SMALL = TaughtConfig(longest=6, hidden=32, updates=150, batch=64)


def tiny_model(seed: int = 0, latent: int = 16, members: int = 2, **changes) -> WorldModel:
    """An untrained model of four places, whose states are still a smooth map of its pictures."""
    torch.manual_seed(seed)
    config = WorldModelConfig(
        **{
            "task": "point_mass-easy",
            "actions": 1,
            "action_low": (-1.0,),
            "action_high": (1.0,),
            "cameras": (CameraInput("camera", PATCHES, AXES),),
            "state": StateEncoderConfig(
                "adapter", dim=latent, history=2, n_components=AXES, hidden=32
            ),
            "dynamics": DynamicsConfig("simnorm", members=members, hidden=16, layers=2),
            "heads": HeadsConfig(hidden=16),
            "discount": 0.97,
            "repeat": 2,
            **changes,
        }
    )
    model = WorldModel(config)
    initialise(model)
    return model.eval()


def numbers_of(model: WorldModel) -> int:
    """F, what the model takes of a picture and its past."""
    return model.features


def pictures(position: torch.Tensor, numbers: int) -> torch.Tensor:
    """Place numbers ``[..., F]`` that tell a position on the line."""
    phases = torch.linspace(0, math.pi, numbers)
    return 1.5 * torch.sin(position[..., None] + phases)


def glide(episodes: int, decisions: int, model: WorldModel, seed: int = 0) -> Replay:
    """Random walks: each action moves the point by ``STEP`` times itself."""
    generator = torch.Generator().manual_seed(seed)
    actions = 2 * torch.rand(episodes, decisions, 1, generator=generator) - 1
    start = 2 * torch.rand(episodes, 1, generator=generator) - 1
    moved = torch.cat([torch.zeros(episodes, 1), actions[..., 0].cumsum(1)], 1)
    features = pictures(start + STEP * moved, numbers_of(model))
    replay = Replay(episodes * (decisions + 1), numbers_of(model), 1, latent=model.latent)
    for seen, done in zip(features, actions, strict=True):
        replay.add(seen, done, torch.zeros(decisions))
    replay.refresh(lambda seen: model.encode(seen.float()))
    return replay


def line_heads(latent: int = 3, **changes) -> TaughtHeads:
    """Untrained heads whose space is the first coordinate of z itself, in units of 1."""
    torch.manual_seed(1)
    config = TaughtConfig(**{"longest": 8, "hidden": 16, **changes})
    heads = TaughtHeads(latent, 1, config).eval().requires_grad_(False)
    heads.space.matrix[0, 0] = latent**0.5  # distances are means over all coordinates
    # The learned distance says "far" of everything, so that the space alone decides.
    torch.nn.init.constant_(heads.reach.net[-1].bias, 50.0)
    return heads


def line(*positions: float, latent: int = 3) -> Shown:
    """A demonstration whose states are these positions."""
    z = torch.zeros(len(positions), latent)
    z[:, 0] = torch.tensor(positions)
    return Shown(torch.zeros(len(positions), 2), z, 1)
