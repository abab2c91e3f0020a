"""The designs that are compared: one of them all, and each other one differs in one thing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from foresight.perception.encoder import Encoder
from foresight.training.lewm.train import LeWMTraining, ModelAndInverse, lewm_losses
from foresight.training.loop import FitConfig
from foresight.training.predictor.train import PredictorTraining
from foresight.worldmodel.lewm.config import LeWMConfig, sizes_of
from foresight.worldmodel.lewm.model import LeWorldModel
from foresight.worldmodel.lewm.sigreg import SIGReg
from foresight.worldmodel.predictor.config import (
    PredictorSizes,
    Size,
    named_sizes,
    window_flops,
)
from foresight.worldmodel.predictor.losses import PredictorLossConfig

BASE = "base"
PLAIN, ASKED = "end-to-end", "end-to-end-asked-for-actions"
EVERY = 5
"""Steps of the robot between two frames."""
FORWARD_AND_BACK = 3
"""Operations of an update for each one of a forward pass."""
Training = PredictorTraining | LeWMTraining


@dataclass(frozen=True)
class Budget:
    """How long the first design learns, and how much it is; the others have as much compute."""

    updates: int = 6000
    size: Size = "tiny"
    batch: int = 8
    """Windows of an update."""
    frames: int = 8
    """Of a window."""
    checks: int = 10
    """How often held-out episodes are looked at."""
    lr: float = 1e-3
    end_to_end: LeWMTraining = field(
        default_factory=lambda: LeWMTraining(
            size="mini",
            dim=8,
            every=EVERY,
            weight=0.02,
            directions=256,
            fit=FitConfig(batch=64, lr=1e-3, weight_decay=1e-3, clip=1.0, warmup=100),
        )
    )
    """How a model learns that has no frozen encoder; its updates follow from the compute."""


def designs(budget: Budget) -> dict[str, Training]:
    """All of them by their names; how long they learn is still the first one's."""
    fit = FitConfig(
        epochs=budget.checks,
        updates=budget.updates,
        batch=budget.batch,
        lr=budget.lr,
        weight_decay=0.04,
        clip=0.5,
        beta2=0.98,
        warmup=min(200, budget.updates // 10),
        dtype="auto",
    )
    sizes = PredictorSizes(output="free", context=7)
    base = PredictorTraining(
        size=budget.size, sizes=sizes, every=EVERY, frames=budget.frames, fit=fit
    )
    own = budget.end_to_end
    return {
        BASE: base,
        "one-step-loss": replace(base, loss=PredictorLossConfig("cosine", rollout=1)),
        "two-step-loss": replace(base, loss=PredictorLossConfig("cosine", rollout=2)),
        "adaln": replace(base, sizes=replace(sizes, conditioning="adaln")),
        "context-1": replace(base, sizes=replace(sizes, context=1)),
        "context-3": replace(base, sizes=replace(sizes, context=3)),
        "no-proprioception": replace(base, state=False),
        PLAIN: own,
        ASKED: replace(own, inverse=1.0),
    }


def with_updates(training: Training, updates: int, checks: int) -> Training:
    """A training of another length."""
    warmup = min(training.fit.warmup, updates // 10)
    fit = replace(training.fit, updates=updates, epochs=min(checks, updates), warmup=warmup)
    return replace(training, fit=fit)


def equal_compute(
    budget: Budget, eyes: Encoder, frames: int, actions: int, states: int
) -> dict[str, tuple[Training, float]]:
    """The designs, each learning for as many operations as the first one, its encoding included.

    Args:
        budget: of the first one.
        eyes: what frozen tokens come from; every frame is encoded once.
        frames: of all episodes, those that are kept.
        actions: numbers of an action.
        states: numbers of the robot's state.

    Returns:
        Each design's training, and the operations of one of its updates.
    """
    found = designs(budget)
    once = frames * encoder_flops(eyes)
    base = PredictorSizes(dim=eyes.dim, grid=eyes.grid, actions=actions, states=states)
    costs = {
        name: predictor_flops(one, base)
        if isinstance(one, PredictorTraining)
        else lewm_flops(one, actions)
        for name, one in found.items()
    }
    total = once + budget.updates * costs[BASE]
    left = {name: total - once * isinstance(one, PredictorTraining) for name, one in found.items()}
    return {
        name: (with_updates(one, max(1, round(left[name] / costs[name])), budget.checks), cost)
        for (name, one), cost in zip(found.items(), costs.values(), strict=True)
    }


def encoder_flops(eyes: Encoder) -> float:
    """Operations of the products for one frame that is encoded alone."""
    config = eyes.config
    tokens = config.grid[0] * config.grid[1]
    patch = config.tubelet * 3 * config.patch**2
    layer = tokens * config.dim * (4 * config.dim + 2 * config.hidden)
    attention = 2 * tokens**2 * config.dim
    return 2.0 * (config.depth * (layer + attention) + tokens * patch * config.dim)


def predictor_flops(training: PredictorTraining, base: PredictorSizes) -> float:
    """Operations of an update on frozen tokens, forward and back.

    A rollout to a window's end computes every frame once. Otherwise all frames are computed from
    true ones, and those that are imagined from imagined ones come on top.
    """
    sizes = replace(
        training.sizes,
        dim=base.dim,
        grid=base.grid,
        actions=base.actions,
        states=base.states if training.state else 0,
    )
    sizes = named_sizes(training.size, sizes)
    loss, frames = training.loss, training.frames - 1
    flops = window_flops(sizes, frames)
    if loss.teacher and loss.rollout > 1:
        flops += window_flops(sizes, loss.seen + loss.rollout - 1)
    return FORWARD_AND_BACK * training.fit.batch * flops


def lewm_flops(training: LeWMTraining, actions: int) -> float:
    """Operations of an update end to end, counted while one is made."""
    sizes = replace(sizes_of(training.size), dim=training.dim or sizes_of(training.size).dim)
    bounds = (1.0,) * actions
    config = LeWMConfig(
        sizes=sizes,
        actions=actions,
        action_low=tuple(-x for x in bounds),
        action_high=bounds,
        every=training.every,
        spec=None,
        dataset_fingerprint="",
    )
    learner = ModelAndInverse(LeWorldModel(config))
    clip = sizes.history + 1
    batch = {
        "frames": torch.zeros(
            (training.fit.batch, clip, sizes.image, sizes.image, 3), dtype=torch.uint8
        ),
        "blocks": torch.zeros(training.fit.batch, clip - 1, training.every * actions),
    }
    inverse = learner.inverse if training.inverse else None
    with FlopCounterMode(display=False) as counter:
        parts = lewm_losses(learner.model, batch, SIGReg(training.directions), inverse)
        del parts["z"]
        torch.stack(list(parts.values())).sum().backward()
    return float(counter.get_total_flops())
