"""What an ensemble's disagreement stands for: in rewards, and beside what the data shows.

Sources: MOPO (Yu et al. 2020, arXiv 2005.13239) takes the uncertainty of an imagined step off its
reward; MOReL (Kidambi et al. 2020, arXiv 2005.05951) ends an imagined episode where it is too
large. Both leave its scale to be tuned; here it is measured on the model's own data.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.training.replay import Replay
from foresight.worldmodel.dynamics.rollout import (
    context_of,
    each_member,
    is_ensemble,
    members_of,
)
from foresight.worldmodel.model import WorldModel

WINDOWS = 1024
"""Windows of the data that are imagined once more."""
REWARD_QUANTILES = (0.001, 0.999)
"""Of the data's predicted rewards; what lies outside is taken for an error of the head."""


@dataclass(frozen=True)
class Doubt:
    """What disagreement means for one model, and what its data says can be earned.

    Attributes:
        price: reward for a unit of disagreement, so that over the data the sum of the penalties is
            the sum of the errors of the imagined rewards; 0 for a single network.
        limit: disagreement up to which a dream is believed.
        lowest: smallest reward of a decision.
        highest: largest.
    """

    price: float
    limit: float
    lowest: float
    highest: float

    def belief(self, spread: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """How far a step is believed: 1 up to the limit, 0 from twice the limit on.

        Linear in between: an actor that learns by gradients does not see a cliff.
        """
        if self.limit == float("inf"):
            return torch.ones_like(spread)
        return (2 - spread / max(self.limit, 1e-9)).clamp(0, 1)

    @property
    def unit(self) -> float:
        """The largest reward in size; 1 where there is none."""
        return max(abs(self.lowest), abs(self.highest)) or 1.0


def disagreement(after: Float[Tensor, "E *batch Z"]) -> Float[Tensor, "*batch"]:
    """How far members differ about the next state: their deviation, root mean square over Z.

    Its gradient is finite where they agree.
    """
    variance = (after - after.mean(0)).square().sum(0) / max(1, len(after) - 1)
    return (variance.mean(-1) + 1e-12).sqrt()


def stepped(
    model: WorldModel, z: Float[Tensor, "N Z"], action: Float[Tensor, "N A"]
) -> Float[Tensor, "E N Z"]:
    """The next state by every member, from the same states; E is 1 for a single network."""
    after = model.dynamics.step(each_member(model.dynamics, z), action)
    return after if is_ensemble(model.dynamics) else after[None]


def own_member(after: Float[Tensor, "E N Z"]) -> Float[Tensor, "N Z"]:
    """Of each dream the prediction of its own member, which it keeps throughout (PETS' TS∞)."""
    rows = torch.arange(after.shape[1], device=after.device)
    return after[rows % len(after), rows]


def expect_dreamable(model: WorldModel, replay: Replay) -> None:
    """Refuse what nothing can be dreamt with.

    Raises:
        ForesightError: no reward, dynamics that need a history, or no decision to begin from.
    """
    if model.reward is None:
        raise ForesightError(
            "This world model predicts no reward, so an actor cannot learn in it: train one on "
            "episodes with rewards."
        )
    if context_of(model.dynamics) is not None:
        raise ForesightError(
            f"An actor cannot learn in {model.config.dynamics.kind} dynamics, which ask for a "
            "history: train a model with mlp, resblock or simnorm."
        )
    if not replay.decisions:
        raise ForesightError(
            "The replay holds 0 decisions, and dreams begin where one was taken: collect episodes "
            "first."
        )


@torch.no_grad()
def measure_doubt(
    model: WorldModel, replay: Replay, horizon: int, quantile: float, seed: int = 0
) -> Doubt:
    """Imagine windows of the data under the actions that were taken, and compare.

    Args:
        model: trained; every member may have learned from episodes of its own.
        replay: with the states that the model sees.
        horizon: decisions of a window.
        quantile: share of the imagined steps that stay below `Doubt.limit`.
        seed: of the windows.

    Raises:
        ForesightError: as `expect_dreamable`, or something imagined is not finite.
    """
    expect_dreamable(model, replay)
    device = next(model.parameters()).device
    windows = replay.sample((WINDOWS,), horizon, np.random.default_rng([seed, 1])).to(device)
    seen, actions, counts = windows.states, windows.actions, windows.followed
    z, spreads, errors, rewards = seen[:, 0], [], [], []
    for step in range(horizon):
        action = actions[:, step]
        truth = model.reward_of(seen[:, step], action).float()
        rewards.append(truth)
        errors.append((model.reward_of(z, action).float() - truth).abs())
        after = stepped(model, z, action)
        spreads.append(disagreement(after.float()))
        z = own_member(after)
    spread, error = (torch.stack(each, 1) for each in (spreads, errors))
    earned = torch.stack(rewards, 1)[windows.acted]
    if not (spread.isfinite().all() and error.isfinite().all() and earned.isfinite().all()):
        raise ForesightError(
            f"Imagining {horizon} decisions of the data gave numbers that are not finite: the "
            "model's weights or states are damaged, train it again."
        )
    lowest, highest = (float(earned.quantile(share)) for share in REWARD_QUANTILES)
    known = spread[counts]
    if members_of(model.dynamics) < 2 or not len(known):
        return Doubt(0.0, float("inf"), lowest, highest)
    # The error of a step's reward came with the steps before it, so sums are compared.
    price = float(error[counts].sum() / known.sum().clamp(min=1e-9))
    return Doubt(price, float(known.quantile(quantile)), lowest, highest)
