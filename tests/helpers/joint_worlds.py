"""A world small enough to be learned in seconds, and models of its size."""

from __future__ import annotations

import torch

from foresight.training.replay import Replay
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.model import WorldModel, initialise

PATCHES, DIM, DECISIONS = 4, 5, 12


def tiny(*, latent=32, history=1, members=3, values=2, proprio=0, continuation=False, **changes):
    """A model of a few patches, its adapter and prior initialised."""
    settings = {
        "task": "reacher-easy",
        "actions": 2,
        "action_low": (-1.0, -2.0),
        "action_high": (1.0, 4.0),
        "cameras": (CameraInput("camera", PATCHES, DIM),),
        "state": StateEncoderConfig(
            "adapter", dim=latent, history=history, n_components=3, hidden=48
        ),
        "dynamics": DynamicsConfig("simnorm", members=members, hidden=32, layers=2),
        "heads": HeadsConfig(hidden=32, values=values, proprio=proprio, continuation=continuation),
        "discount": 0.8,
        "encoder": "some",
        "encoder_fingerprint": "abc",
    }
    torch.manual_seed(0)
    model = WorldModel(WorldModelConfig(**{**settings, **changes}))
    initialise(model)
    return model


def point_world(episodes=200, seed=0, latent=32):
    """A point in a square pushed by actions; the reward is 1 near the middle.

    Features are a fixed random map of its place, so that place is all there is to learn.
    """
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(2, PATCHES * 3, generator=torch.Generator().manual_seed(9))
    replay = Replay(episodes * (DECISIONS + 1), PATCHES * 3, 2, proprio=2, latent=latent)
    place = torch.rand(episodes, 2, generator=random) * 2 - 1
    places, actions, rewards = [place], [], []
    for _ in range(DECISIONS):
        action = torch.rand(episodes, 2, generator=random) * 2 - 1
        rewards.append((place.norm(dim=-1) < 0.5).float())
        place = (place + 0.4 * action).clamp(-1, 1)
        places.append(place)
        actions.append(action)
    features = torch.tanh(torch.stack(places, 1) @ mix)
    parts = features, torch.stack(actions, 1), torch.stack(rewards, 1), torch.stack(places, 1)
    for seen, done, earned, where in zip(*parts, strict=True):
        replay.add(seen, done, earned, proprio=where)
    return replay, mix
