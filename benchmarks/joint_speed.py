"""Speed of an update of the joint world model: ours, plain layers, and one like TD-MPC2's.

Ours and the plain side have the same weights, windows and losses; the plain one computes every
layer of every member on its own with torch's operations. All take turns with the machine's matrix
product, which says how long the products alone would take.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.encoder_speed import Clock, gemm_peak, seconds_of
from benchmarks.peers.tdmpc2_like import TDMPC2Like
from foresight.evaluation.statistics import Row
from foresight.training.learner import Learner
from foresight.training.learner_config import LearnerConfig
from foresight.training.replay import Replay
from foresight.worldmodel.config import (
    CameraInput,
    HeadsConfig,
    StateEncoderConfig,
    WorldModelConfig,
)
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.stacked import StackedLayerNorm, StackedLinear
from foresight.worldmodel.mlp import MLP
from foresight.worldmodel.model import WorldModel, initialise

LATENT, HIDDEN, ACTIONS, MEMBERS = 128, 256, 6, 5
"""What an agent of `foresight learn` has; walker's number of actions."""
EPISODES, DECISIONS = 48, 250
TURNS = 20
"""Updates of each side in a round."""


class PlainLayers(nn.Sequential):
    """The same layers, computed one member and one layer after the other."""

    def forward(self, *parts: Tensor) -> Tensor:
        """What the last layer gives."""
        joined = torch.cat(parts, -1)
        if not isinstance(self[0], StackedLinear):
            return super().forward(joined)
        return torch.stack([self._member(index, x) for index, x in enumerate(joined)])

    def _member(self, index: int, x: Tensor) -> Tensor:
        for layer in self:
            if isinstance(layer, StackedLinear):
                assert layer.bias is not None
                x = functional.linear(x, layer.weight[index], layer.bias[index])
            elif isinstance(layer, StackedLayerNorm):
                own = layer.weight[index], layer.bias[index]
                x = functional.layer_norm(x, x.shape[-1:], *own, layer.eps)
            else:
                x = layer(x)
        return x


def plain(model: nn.Module) -> None:
    """Replace every `MLP` of a model by its plain layers, in place; parameters stay."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, MLP):
                module.add_module(name, PlainLayers(*child))


def learner(dtype: torch.dtype, hidden: int = HIDDEN, **changes: Any) -> Learner:
    """A learner of a fresh model, the same at every call.

    Args:
        dtype: of the products.
        hidden: width of the networks.
        changes: to `LearnerConfig`.
    """
    torch.manual_seed(0)
    bounds = (1.0,) * ACTIONS
    config = WorldModelConfig(
        task="walker-walk",
        actions=ACTIONS,
        action_low=tuple(-bound for bound in bounds),
        action_high=bounds,
        cameras=(CameraInput("camera", 1, 64),),
        state=StateEncoderConfig("adapter", dim=LATENT, n_components=4, hidden=hidden),
        dynamics=DynamicsConfig("simnorm", members=MEMBERS, hidden=hidden, layers=2),
        heads=HeadsConfig(hidden=hidden),
        discount=0.97,
        repeat=2,
    )
    model = WorldModel(config)
    initialise(model)
    found = Learner(model.train(), LearnerConfig(**changes))
    found.dtype = dtype
    return found


def experience(model: WorldModel) -> Replay:
    """Episodes of random numbers with an expert's answers, and their states."""
    random = torch.Generator().manual_seed(0)
    replay = Replay(EPISODES * DECISIONS, model.features, ACTIONS, latent=LATENT)
    for _ in range(EPISODES):
        seen = torch.randn(DECISIONS, model.features, generator=random)
        actions, answers = torch.rand(2, DECISIONS, ACTIONS, generator=random) * 2 - 1
        rewards = torch.rand(DECISIONS, generator=random)
        replay.add(seen, actions, rewards, expert_actions=answers)
    replay.refresh(model.encode)
    return replay


class JointSides:
    """An update by each side, in one dtype.

    Args:
        dtype: of the products; weights and optimisers stay fp32.
    """

    def __init__(self, dtype: torch.dtype, hidden: int = HIDDEN) -> None:
        self.ours, self.plain = learner(dtype, hidden), learner(dtype, hidden)
        assert self.plain.target is not None
        plain(self.plain.model)  # whose parts `imagining` holds, too
        plain(self.plain.target)
        self.replay = experience(self.ours.model)
        config = self.ours.config
        rows = MEMBERS * config.batch
        random = torch.Generator().manual_seed(0)
        self.batch = (
            torch.randn(config.horizon + 1, rows, LATENT, generator=random),
            torch.rand(config.horizon, rows, ACTIONS, generator=random) * 2 - 1,
            torch.rand(config.horizon, rows, generator=random),
        )
        self.like = TDMPC2Like(LATENT, ACTIONS, LATENT, hidden, dtype)

    def sides(self) -> dict[str, Callable[[], Any]]:
        """Everything that is timed, ours first."""
        return {
            "joint": partial(self.ours.update, self.replay),
            "joint-plain": partial(self.plain.update, self.replay),
            "tdmpc2-like": partial(self.like.update, *self.batch),
        }


def joint_turn(sides: JointSides, dtype: torch.dtype, turn: int, clock: Clock) -> list[Row]:
    """One round: the peak, then update by update in turns.

    Rows of the task ``joint-update``: ``ms-per-update`` (median) of each side, ``ratio-to-plain``
    and ``ratio-to-tdmpc2-like`` (how many times faster ours is), ``gigaflop-per-update`` of the
    products of ours and the peer, and ``products-ms``, how long those of ours take at the peak.
    """
    runs = sides.sides()
    flops: dict[str, float] = {}
    for name, run in runs.items():
        with FlopCounterMode(display=False) as counter:
            run()
        flops[name] = counter.get_total_flops()
    peak = gemm_peak(torch.device("cpu"), dtype, clock)
    taken = [
        [seconds_of(run, torch.device("cpu"), clock) for run in runs.values()] for _ in range(TURNS)
    ]
    each = zip(*taken, strict=True)
    ms = {name: 1000 * statistics.median(every) for name, every in zip(runs, each, strict=True)}
    kind = str(dtype).removeprefix("torch.")
    rows = [
        *(("ms-per-update", value, f"{name}-{kind}") for name, value in ms.items()),
        ("ratio-to-plain", ms["joint-plain"] / ms["joint"], kind),
        ("ratio-to-tdmpc2-like", ms["tdmpc2-like"] / ms["joint"], kind),
        ("gigaflop-per-update", flops["joint"] / 1e9, f"joint-{kind}"),
        ("gigaflop-per-update", flops["tdmpc2-like"] / 1e9, f"tdmpc2-like-{kind}"),
        ("products-ms", 1000 * flops["joint"] / peak, kind),
    ]
    return [
        {
            "measure": measure,
            "value": float(value),
            "task": "joint-update",
            "condition": condition,
            "turn": turn,
        }
        for measure, value, condition in rows
    ]
