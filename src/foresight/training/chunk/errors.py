"""Errors of a chunk policy on held-out episodes, for each joint and step, beside baselines."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.policies.chunk.network import ChunkNetwork
from foresight.training.chunk.demonstrations import Demonstrations, GoalDraw, Rows

Errors = dict[str, Any]
MOST_STEPS = 2048
"""Held-out steps on which chunks are decided, spread evenly."""


def held_out_errors(network: ChunkNetwork, data: Demonstrations) -> Errors:
    """Mean absolute error of chunks on held-out episodes, steps beyond an episode's end left out.

    Returns:
        ``methods``: for ``policy``, ``blind`` (the same with visual tokens that are zero),
        ``nearest replay`` (the actions at the same time of the training episode, of the same
        task, that begins most alike), ``last action`` (held) and ``mean action``: ``mean`` in
        deviations of the actions, ``joints`` (name to error in the action's units) and ``steps``
        (in deviations, for each action of the chunk). Beside it ``episodes``, ``windows`` and
        ``binary``, the actions that were classified.
    """
    config = network.config
    rows = data.rows(data.held_out)
    rows = rows[:: -(-len(rows) // MOST_STEPS)]
    ahead, valid = data.chunk_rows(rows, config.network.chunk)
    truth = data.actions[ahead]
    mean = data.actions[data.rows(data.train)].mean(0)
    guesses = {
        "policy": predicted(network, data, rows, blind=network.blind),
        "blind": predicted(network, data, rows, blind=True),
        "nearest replay": replayed(network, data, rows),
        "last action": held(data, rows, mean)[:, None].expand_as(truth),
        "mean action": mean.expand_as(truth),
    }
    spec, deviation = config.spec, data.actions[data.rows(data.train)].std(0, correction=0)
    names = [f"action_{i}" for i in range(config.actions)]
    names = names if spec is None else [axis.name for axis in spec.action]
    moving = deviation > 1e-6
    scale = torch.where(moving, deviation, torch.inf)
    return {
        "episodes": list(data.held_out),
        "windows": len(rows),
        "binary": [names[i] for i in config.binary],
        "methods": {
            name: _summary((guess - truth).abs(), valid, scale, int(moving.sum()), names)
            for name, guess in guesses.items()
        },
    }


def _summary(
    error: Float[Tensor, "n K A"],
    valid: Bool[Tensor, "n K"],
    scale: Float[Tensor, " A"],
    moving: int,
    names: list[str],
) -> dict[str, Any]:
    kept = valid[..., None]
    joints = (error * kept).sum((0, 1)) / valid.sum()
    relative = (error / scale * kept).sum(2) / max(1, moving)
    counts = valid.sum(0)
    steps = [
        float(total / count) if count else None
        for total, count in zip(relative.sum(0), counts, strict=True)
    ]
    return {
        "mean": float(relative.sum() / valid.sum()),
        "joints": {name: float(value) for name, value in zip(names, joints, strict=True)},
        "steps": steps,
    }


def predicted(
    network: ChunkNetwork, data: Demonstrations, rows: Rows, blind: bool
) -> Float[Tensor, "n K A"]:
    """What the network decides on rows."""
    generator = torch.Generator().manual_seed(0)
    goals = GoalDraw(data) if network.config.network.goal else None
    before, network.blind = network.blind, blind
    found = []
    for part in rows.split(256):
        goal = None if goals is None else goals(part, generator)
        batch = data.inputs(part, network.config, torch.zeros_like(part), goal)
        found.append(network.predict(batch, generator))
    network.blind = before
    return torch.cat(found)


def replayed(network: ChunkNetwork, data: Demonstrations, rows: Rows) -> Float[Tensor, "n K A"]:
    """Actions of the training episode whose first step is nearest: features and state together."""
    starts = data.offsets[:-1]
    looks = _looks(network, data, starts)
    episode = data.episode_of(rows)
    demo = torch.zeros_like(episode)
    shown = data.shown_by_task()
    for which in episode.unique().tolist():
        own = torch.tensor(shown[int(data.task[which])] or list(data.train))
        nearest = own[(looks[own] - looks[which]).square().mean(1).argmin()]
        demo[episode == which] = nearest
    time = (rows - starts[episode])[:, None] + torch.arange(network.config.network.chunk)
    last = (data.offsets[demo + 1] - 1)[:, None]
    return data.actions[torch.minimum(starts[demo][:, None] + time, last)]


def _looks(network: ChunkNetwork, data: Demonstrations, rows: Rows) -> Float[Tensor, "n k"]:
    """What a step looks and feels like, each number standardised; cameras and state weigh alike."""
    parts = []
    for index, camera in enumerate(network.config.cameras):
        features = data.features[0][index].index_select(0, rows)
        tokens = features.view(len(rows), camera.patches, camera.dim)
        flat = network.normaliser.tokens(index, tokens).flatten(1)
        parts.append(flat / flat.shape[1] ** 0.5)
    if network.config.states:
        felt = network.normaliser.state(data.states[rows])
        parts.append(felt / felt.shape[1] ** 0.5)
    return torch.cat(parts, dim=1)


def held(data: Demonstrations, rows: Rows, mean: Tensor) -> Float[Tensor, "n A"]:
    """The action before each row; the mean action where an episode begins."""
    first = rows == data.offsets[data.episode_of(rows)]
    return torch.where(first[:, None], mean, data.actions[(rows - 1).clamp(min=0)])
