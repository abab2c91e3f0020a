"""What a policy of action chunks says along a shown episode, and where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8

from foresight.core.errors import ForesightError
from foresight.core.observation import Observation
from foresight.core.thread_pool import run_alone
from foresight.data.dataset import Dataset
from foresight.perception.readout import Readout
from foresight.perception.zoom import Zoom
from foresight.policies.chunk.attention import attend, context_parts, occlude
from foresight.policies.chunk.policy import ChunkPolicy
from foresight.policies.replay import Replay
from foresight.rollout.recorder import ADVICE
from foresight.training.chunk.demonstrations import wanted_actions

Gaze = Literal["attention", "occlusion"]


def gaze_of(policy: ChunkPolicy) -> Gaze:
    """Attention where the network has it; occlusion works for all."""
    network = policy.config.network
    attends = network.trunk == "transformer" and not network.keypoints
    return "attention" if attends else "occlusion"


@dataclass(frozen=True)
class Along:
    """A policy along one shown episode of T steps; at each step it decides a chunk of K actions.

    Attributes:
        episode: its number in the dataset.
        task: what was to be done.
        shown: what was to be learned, ``[T, A]`` in the robot's units: what an expert said where
            it was asked, else what was done.
        chunks: what the policy decides at each step, ``[T, K, A]``, within the robot's bounds.
        blind: the same with visual tokens that are zero; None where it has no eyes anyway.
        replay: actions of the training episode that begins most alike, ``[T, A]``, the last held.
        replayed: which one that was.
        by: what says where the policy looks: ``attention``, the mean over layers, heads and queries
            of the decoder's cross-attention, or ``occlusion``; see
            `foresight.policies.chunk.attention`.
        shares: of it, for each part of the context (see `context_parts` there), ``[T]``; they sum
            to 1.
        maps: of each camera, shares of the places of the encoder's picture, ``[T, R, R]``; they
            sum to the camera's share.
        pictures: of each camera as its encoder sees them, uint8 ``[T, S, S, 3]``.
    """

    episode: int
    task: str
    shown: Float32[np.ndarray, "T A"]
    chunks: Float32[np.ndarray, "T K A"]
    blind: Float32[np.ndarray, "T K A"] | None
    replay: Float32[np.ndarray, "T A"]
    replayed: int
    by: Gaze
    shares: dict[str, Float[np.ndarray, " T"]]
    maps: dict[str, Float[np.ndarray, "T R R"]]
    pictures: dict[str, UInt8[np.ndarray, "T S S 3"]]


def follow(
    policy: ChunkPolicy,
    dataset: Dataset,
    episode: int,
    among: Sequence[int],
    by: Gaze | None = None,
) -> Along:
    """Let a policy decide at every step of a shown episode, without acting.

    Args:
        policy: whose cameras the dataset has.
        dataset: of the same robot.
        episode: its number.
        among: episodes that the nearest replay may be chosen from; ``episode`` itself is left out.
        by: what says where the policy looks; of `gaze_of` if not given.

    Raises:
        ForesightError: a camera or task that the policy does not know, nothing to replay, or
            attention of a network that has none.
    """
    rivals = [i for i in among if i != episode]
    if not rivals:
        raise ForesightError(
            f"{dataset.path} has no other episode than {episode} to replay: give at least two."
        )
    shown = dataset.episode(episode)
    seen = [
        Observation(
            {name: frames[t] for name, frames in shown.images.items()},
            shown.state[t],
            shown.task,
            t / shown.fps,
        )
        for t in range(len(shown))
    ]
    replay = Replay(dataset, dataset.spec, "nearest", among=rivals)
    replay.reset(seen[0], 0)
    again = np.stack([replay.act(observation) for observation in seen])
    by = by or gaze_of(policy)
    chunks, blind, tokens = _decided(policy, seen, by)
    actions = torch.from_numpy(np.array(shown.action, np.float32))
    advice = shown.columns.get(ADVICE)
    if advice is not None:
        told = torch.from_numpy(np.array(advice, np.float32))
        actions = wanted_actions(actions, told)
    parts = context_parts(policy.config)
    streams = dict(zip(policy.cameras, policy.eyes(), strict=True))
    maps = {
        name: gaze_map(tokens[:, parts[f"camera/{name}"]], stream.readout, stream.encoder.grid)
        for name, stream in streams.items()
    }
    return Along(
        episode=episode,
        task=shown.task,
        shown=actions.numpy(),
        chunks=chunks,
        blind=blind,
        replay=again,
        replayed=replay.episode,
        by=by,
        shares={name: tokens[:, place].sum(1) for name, place in parts.items()},
        maps=maps,
        pictures={name: stream.prepare(shown.images[name]) for name, stream in streams.items()},
    )


def _decided(
    policy: ChunkPolicy, seen: Sequence[Observation], by: Gaze
) -> tuple[np.ndarray, np.ndarray | None, Float[np.ndarray, "T N"]]:
    """Chunks, blind chunks, and the share of each token of the context, of every step."""
    look = attend if by == "attention" else occlude
    network, spec = policy.network, policy.config.spec
    chunks, blind, tokens = [], [], []
    before = network.blind
    policy.reset(seen[0], 0)
    try:
        for step, observation in enumerate(seen):
            batch = policy.inputs(observation)
            # Flow draws noise: the same for both, so that they differ by what is seen alone.
            network.blind = before
            with_eyes = run_alone(partial(look, network, batch, _noise(step)))
            chunks.append(with_eyes.chunk[0].cpu().numpy())
            tokens.append(with_eyes.tokens[0].cpu().numpy())
            if not before:
                network.blind = True
                without = run_alone(partial(network.predict, batch, _noise(step)))
                blind.append(without[0].cpu().numpy())
    finally:
        network.blind = before
    bounds = (-np.inf, np.inf) if spec is None else (spec.low, spec.high)
    held = [np.clip(np.stack(each), *bounds) if each else None for each in (chunks, blind)]
    assert held[0] is not None
    return held[0], held[1], np.stack(tokens)


def _noise(step: int) -> torch.Generator:
    return torch.Generator().manual_seed(step)


def gaze_map(
    tokens: Float[np.ndarray, "T P"], readout: Readout, grid: int
) -> Float[np.ndarray, "T R R"]:
    """Shares of a camera's tokens on the places of the picture that they stand for.

    Tokens of one place at several times are added up. Those of a readout's zoom lie on the part
    that it shows, so the map is as fine as that part.

    Args:
        tokens: share of each token, in the readout's order: view, tubelet, row, column.
        readout: of the camera.
        grid: tokens of the encoder on each side of its picture.

    Returns:
        Maps whose sums are those of ``tokens``.
    """
    cells = {"mean": 1, "tokens": grid}.get(readout.pool, readout.grid)
    views = tokens.reshape(len(tokens), readout.views, -1, cells, cells).sum(2)
    if readout.zoom is None:
        return np.asarray(views[:, 0])
    factor = readout.zoom.factor
    whole = _spread(views[:, 0], factor)
    row, column = (_begin(centre, cells, factor) for centre in _centre(readout.zoom))
    whole[:, row : row + cells, column : column + cells] += views[:, 1]
    return whole


def _spread(maps: np.ndarray, factor: int) -> np.ndarray:
    """Each cell as factor × factor smaller ones that share its weight."""
    return maps.repeat(factor, axis=1).repeat(factor, axis=2) / factor**2


def _centre(zoom: Zoom) -> tuple[float, float]:
    return zoom.y, zoom.x


def _begin(centre: float, cells: int, factor: int) -> int:
    """First of the part's cells, in cells of the whole; the part stays within the picture."""
    return int(np.clip(round(centre * cells * factor - cells / 2), 0, cells * (factor - 1)))


def chunk_errors(along: Along, execute: int) -> dict[str, float]:
    """Mean absolute error of the actions that would be executed, in the episode's deviations.

    Args:
        along: a policy along an episode.
        execute: actions of a chunk that are executed before the next is decided.

    Returns:
        Of ``policy``, ``blind`` (where it has eyes) and ``nearest replay``. Numbers of the action
        that do not move in this episode are left out; 0 where none moves.
    """
    deviation = along.shown.std(0)
    moving = deviation > 1e-6
    found = {"policy": executed(along.chunks, execute), "nearest replay": along.replay}
    if along.blind is not None:
        found["blind"] = executed(along.blind, execute)
    if not moving.any():
        return dict.fromkeys(found, 0.0)
    return {
        name: float((np.abs(actions - along.shown)[:, moving] / deviation[moving]).mean())
        for name, actions in found.items()
    }


def executed(chunks: Float32[np.ndarray, "T K A"], execute: int) -> Float32[np.ndarray, "T A"]:
    """The actions that would be executed: of every ``execute``-th chunk the first ones."""
    steps = np.arange(len(chunks))
    return np.asarray(chunks[steps - steps % execute, steps % execute])
