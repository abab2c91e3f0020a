"""How far one state is from another, in time: a distance learned from the order of steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.worldmodel.heads.training import (
    HeadTraining,
    Latents,
    Pairs,
    Record,
    train_head,
)
from foresight.worldmodel.losses import temporal_ranking_loss
from foresight.worldmodel.ranks import auc, spearman


@dataclass(frozen=True)
class ReachabilityConfig:
    """Shape and losses of the distance."""

    hidden: int = 256
    """Width."""
    layers: int = 2
    """Hidden layers."""
    longest: int = 30
    """Steps that count as a distance of 1; states further apart are only pushed beyond it."""
    margin: float = 0.05
    """By how much a later step should be further away than an earlier one."""
    ranking: float = 1.0
    """Weight of the order within an episode."""
    regression: float = 1.0
    """Weight of the distance being gap / longest."""
    far: float = 1.0
    """Weight of other episodes' states being at 1 or more."""


class Reachability(nn.Module):
    """``d(z, z') ≥ 0``: about the share of ``longest`` steps that lead from z to z'.

    An MLP on ``[z, z', z' - z]`` with a softplus. It need not be symmetric, as time is not. Usable
    as a planner's cost: axes broadcast, so ``d(imagined [..., Z], goal [Z])`` works.
    """

    def __init__(self, latent: int, config: ReachabilityConfig | None = None) -> None:
        super().__init__()
        self.config = config or ReachabilityConfig()
        width, blocks = 3 * latent, list[nn.Module]()
        for _ in range(self.config.layers):
            hidden = self.config.hidden
            blocks += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.SiLU()]
            width = hidden
        self.net = nn.Sequential(*blocks, nn.Linear(width, 1))

    def forward(
        self, z: Float[Tensor, "*batch Z"], goal: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch"]:
        """The distance from ``z`` to ``goal``, in the dtype of ``z``."""
        z, goal = torch.broadcast_tensors(z, goal)
        weight = self.net[0].weight
        assert isinstance(weight, Tensor)
        joined = torch.cat([z, goal, goal - z], dim=-1).to(weight.dtype)
        return functional.softplus(self.net(joined).squeeze(-1)).to(z.dtype)


@dataclass(frozen=True)
class ReachabilityReport:
    """What the distance is worth on held-out episodes."""

    rank_correlation: float
    """Spearman's between distance and true gap, pairs within an episode."""
    latent_rank_correlation: float
    """The same for the Euclidean distance of the latents, which needs no learning."""
    auc: float
    """Chance that a pair of two episodes is further apart than a pair within one."""
    latent_auc: float
    """The same for the Euclidean distance."""
    history: list[Record]


def train_reachability(
    head: Reachability, latents: Latents, training: HeadTraining
) -> ReachabilityReport:
    """Learn from near pairs, ordered by their gap, and far pairs of two episodes.

    An anchor and two later states of one episode give the order (`temporal_ranking_loss`) and two
    gaps to regress; the anchor and a state of another episode should be 1 or more apart.

    Args:
        head: trained in place.
        latents: frozen states, split by episode.
        training: length and speed.

    Raises:
        ForesightError: a split has fewer than two episodes of two steps.
    """
    config = head.config
    draws = {
        name: Pairs(latents.offsets, episodes, config.longest)
        for name, episodes in (("train", latents.train), ("validation", latents.validation))
    }

    def loss(generator: torch.Generator, split: str = "train") -> Tensor:
        pairs, z = draws[split], latents.z
        anchor, gap, episode = pairs.near(training.batch, generator)
        # A second gap from the same anchor: the way there and back again stays in the episode.
        share = torch.rand(len(gap), generator=generator)
        gaps = torch.stack([gap, (share * gap).long()], dim=1)
        near = head(z[anchor][:, None], z[anchor[:, None] + gaps])
        far = head(z[anchor], z[pairs.far(episode, generator)])
        target = gaps / config.longest
        return (
            config.ranking * temporal_ranking_loss(near, config.margin, gaps)
            + config.regression * functional.smooth_l1_loss(near, target, beta=0.1)
            + config.far * functional.relu(1 - far).mean()
        )

    def validate() -> float:
        return float(loss(torch.Generator().manual_seed(training.seed + 1), "validation"))

    history = train_head(head, loss, validate, training)
    return _report(head, latents, draws["validation"], training, history)


@torch.no_grad()
def _report(
    head: Reachability,
    latents: Latents,
    pairs: Pairs,
    training: HeadTraining,
    history: list[Record],
    count: int = 4096,
) -> ReachabilityReport:
    generator = torch.Generator().manual_seed(training.seed + 2)
    anchor, gap, episode = pairs.near(count, generator)
    z = latents.z
    start, near, far = z[anchor], z[anchor + gap], z[pairs.far(episode, generator)]
    learned = head(start, near), head(start, far)
    plain = (start - near).norm(dim=-1), (start - far).norm(dim=-1)
    return ReachabilityReport(
        rank_correlation=spearman(learned[0], gap),
        latent_rank_correlation=spearman(plain[0], gap),
        auc=auc(learned[1], learned[0]),
        latent_auc=auc(plain[1], plain[0]),
        history=history,
    )
