"""Training the heads for teaching on what the agent saw while it learned; no reward is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from foresight.core.errors import ForesightError
from foresight.core.machine import torch_threads
from foresight.policies.taught.heads import (
    TaughtConfig,
    TaughtHeads,
    heads_identity,
    load_heads,
    save_heads,
    stored_report,
)
from foresight.training.replay import Replay
from foresight.training.run_data import load_replay
from foresight.worldmodel.heads import (
    HeadTraining,
    Latents,
    train_inverse,
    train_reachability,
)
from foresight.worldmodel.heads.training import Pairs, episode_rows
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.ranks import auc, spearman

FITTED = 20_000
"""States at most that the axes of a space are fitted on."""
QUIET = 0.999
"""Share of pictures below the loudness that counts as the edge of the data."""


@dataclass(frozen=True)
class TaughtReport:
    """What the heads are worth on held-out episodes."""

    inverse_r2: float
    """Share of the actions' variance that the inverse model explains."""
    reach_rank: float
    """Spearman's correlation of the learned distance and the true gap."""
    reach_auc: float
    """Chance that a pair of two episodes is further apart than a pair within one."""
    space_rank: float
    """The first of these for the plain distance in the space."""
    space_auc: float
    """The second."""


def lived_through(model: WorldModel, folder: Path) -> Replay:
    """What a model has learned from, as it sees it now.

    Raises:
        ForesightError: there is nothing, or too little.
    """
    replay = load_replay(model, folder)
    if len(replay) < 4:
        raise ForesightError(
            f"{folder} holds {len(replay)} recorded episodes and teaching learns from at least 4: "
            "give the folder of a model that `foresight learn` made, with its episodes."
        )
    return replay


def to_latents(replay: Replay, config: TaughtConfig) -> Latents:
    """Frozen states of all observations, split by episode."""
    order = np.random.default_rng(config.seed).permutation(len(replay))
    held = max(2, round(config.validation * len(order)))
    train, validation = order[held:].tolist(), order[:held].tolist()
    return Latents(replay.states, replay.offsets, train, validation, replay.actions)


def taught_heads(folder: Path, config: TaughtConfig) -> tuple[TaughtHeads, TaughtReport]:
    """The heads of a learned model, trained now if they are not at hand.

    Raises:
        ForesightError: the folder holds no learned model with its rounds.
    """
    identity = heads_identity(folder, config)
    stored = stored_report(folder, identity)
    if stored is not None:
        return load_heads(folder), TaughtReport(**stored)
    model = WorldModel.load(folder)
    replay = lived_through(model, folder)
    with torch_threads(1):
        heads, report = train_heads(replay, config)
    save_heads(heads, folder, asdict(report), identity)
    return heads, report


def train_heads(replay: Replay, config: TaughtConfig) -> tuple[TaughtHeads, TaughtReport]:
    """Fit the space, then learn the inverse model in it and the distance in time on z.

    Args:
        replay: what the model has seen, with its states.
        config: sizes and length.

    Raises:
        ForesightError: too few episodes, or states that never move.
    """
    latents = to_latents(replay, config)
    training = HeadTraining(config.updates, config.batch, config.lr, seed=config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        heads = TaughtHeads(latents.z.shape[1], replay.actions.shape[1], config)
        _fit_scales(heads, latents, replay)
        rows = episode_rows(latents.offsets, latents.train)
        heads.space.settle(latents.z[rows[:: max(1, len(rows) // FITTED)]])
        seen = Latents(
            heads.space(latents.z), latents.offsets, latents.train, latents.validation,
            latents.actions,
        )  # fmt: skip
        inverse = train_inverse(heads.inverse, seen, training)
        wide = Latents(
            heads.standard(latents.z), latents.offsets, latents.train, latents.validation
        )
        reach = train_reachability(heads.reach, wide, training)
    plain = _space_scores(seen, config)
    report = TaughtReport(inverse.r_squared, reach.rank_correlation, reach.auc, *plain)
    return heads.eval().requires_grad_(False), report


def _fit_scales(heads: TaughtHeads, latents: Latents, replay: Replay) -> None:
    rows = episode_rows(latents.offsets, latents.train)
    z = latents.z[rows]
    heads.centre.copy_(z.mean(0))
    heads.scale.copy_(z.var(0).mean().clamp(min=1e-12).rsqrt())
    picks = torch.linspace(0, len(rows) - 1, len(heads.known)).long()
    heads.known.copy_(z[picks])
    loud = torch.cat([f.float().square().mean(-1) for f in replay.features[rows].split(4096)])
    heads.loudest.copy_(torch.quantile(loud[:: max(1, len(loud) // 100_000)], QUIET))


@torch.no_grad()
def _space_scores(seen: Latents, config: TaughtConfig, count: int = 4096) -> tuple[float, float]:
    """How well plain distances in the space order gaps, and tell one episode from two."""
    pairs = Pairs(seen.offsets, seen.validation, config.longest)
    generator = torch.Generator().manual_seed(config.seed + 2)
    anchor, gap, episode = pairs.near(count, generator)
    near = (seen.z[anchor] - seen.z[anchor + gap]).norm(dim=-1)
    far = (seen.z[anchor] - seen.z[pairs.far(episode, generator)]).norm(dim=-1)
    return spearman(near, gap), auc(far, near)
