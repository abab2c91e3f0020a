"""A world small enough to be learned in seconds, and models of its size."""

from __future__ import annotations

import torch

from foresight.training.replay import Replay
from foresight.worldmodel.joint import JointConfig, JointModel
from foresight.worldmodel.joint.model import initialise

PLACES, DIM, DECISIONS = 4, 5, 12


def tiny(**changes):
    settings = {
        "task": "reacher-easy",
        "actions": 2,
        "action_low": (-1.0, -2.0),
        "action_high": (1.0, 4.0),
        "places": PLACES,
        "token_dim": DIM,
        "axes": 3,
        "history": 1,
        "latent": 32,
        "members": 3,
        "hidden": 32,
        "adapter": 48,
        "discount": 0.8,
        "repeat": 1,
        "encoder": "some",
        "encoder_fingerprint": "abc",
    }
    torch.manual_seed(0)
    model = JointModel(JointConfig(**{**settings, **changes}))
    initialise(model)
    return model


def point_world(episodes=200, seed=0, latent=32):
    """A point in a square pushed by actions; the reward is 1 near the middle.

    Features are a fixed random map of its place, so that place is all there is to learn.
    """
    random = torch.Generator().manual_seed(seed)
    mix = torch.randn(2, PLACES * 3, generator=torch.Generator().manual_seed(9))
    replay = Replay(episodes * (DECISIONS + 1), PLACES * 3, 2, proprio=2, latent=latent)
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
