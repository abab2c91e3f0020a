"""The goal-conditioned inverse model: which action leads from here towards there in k steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.worldmodel.heads.training import (
    HeadTraining,
    Latents,
    Pairs,
    Record,
    episode_rows,
    train_head,
)
from foresight.worldmodel.losses import inverse_dynamics_loss

QUIETEST, LOUDEST = -4.0, 1.0


@dataclass(frozen=True)
class InverseConfig:
    """Shape of the inverse model."""

    hidden: int = 512
    """Width."""
    layers: int = 3
    """Hidden layers."""
    longest: int = 20
    """Most steps between the state and the goal."""


class InverseModel(nn.Module):
    """``p(a | z, z_goal, k)``, a diagonal Gaussian in units of half the action range.

    The mean is a tanh, so it lies within the bounds; samples are clipped to them.

    Args:
        latent: Z.
        low: smallest action of each dimension.
        high: largest.
        config: shape.
    """

    low: Float[Tensor, " A"]
    high: Float[Tensor, " A"]

    def __init__(
        self,
        latent: int,
        low: tuple[float, ...],
        high: tuple[float, ...],
        config: InverseConfig | None = None,
    ) -> None:
        super().__init__()
        self.config = config or InverseConfig()
        self.register_buffer("low", torch.tensor(low))
        self.register_buffer("high", torch.tensor(high))
        width, blocks = 3 * latent + 2, list[nn.Module]()
        for _ in range(self.config.layers):
            hidden = self.config.hidden
            blocks += [nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.SiLU()]
            width = hidden
        self.net = nn.Sequential(*blocks, nn.Linear(width, 2 * len(low)))

    def forward(
        self,
        z: Float[Tensor, "*batch Z"],
        goal: Float[Tensor, "*batch Z"],
        steps: Float[Tensor, "*batch"],
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch A"]]:
        """Mean action and log deviation, both in the units of actions.

        Args:
            z: where one is.
            goal: where one wants to be.
            steps: k, in how many steps.
        """
        z, goal = torch.broadcast_tensors(z, goal)
        share = (torch.as_tensor(steps).to(z) / self.config.longest).expand(z.shape[:-1])
        time = torch.stack([share, torch.log1p(share * self.config.longest)], dim=-1)
        weight = self.net[0].weight
        assert isinstance(weight, Tensor)
        joined = torch.cat([z, goal, goal - z, time], dim=-1).to(weight.dtype)
        unit, log = self.net(joined).to(z.dtype).chunk(2, dim=-1)
        low, half = self.low.to(z), (self.high - self.low).to(z) / 2
        log = QUIETEST + (LOUDEST - QUIETEST) * torch.sigmoid(log)
        return low + half * (1 + unit.tanh()), log + half.log()

    @torch.no_grad()
    def sample(
        self,
        z: Float[Tensor, "*batch Z"],
        goal: Float[Tensor, "*batch Z"],
        steps: Float[Tensor, "*batch"],
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch A"]:
        """One action for each state, within the bounds."""
        mean, log = self(z, goal, steps)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
        return (mean + log.exp() * noise).clamp(self.low.to(mean), self.high.to(mean))


@dataclass(frozen=True)
class InverseReport:
    """What the inverse model is worth on held-out episodes."""

    log_likelihood: float
    """Mean log-density of the true action, all dimensions together."""
    constant_log_likelihood: float
    """The same under one Gaussian fitted to the training actions."""
    r_squared: float
    """Share of the actions' variance that the mean explains."""
    history: list[Record]


def train_inverse(model: InverseModel, latents: Latents, training: HeadTraining) -> InverseReport:
    """Learn the first action between two states of one episode, 1 to ``longest`` steps apart.

    Args:
        model: trained in place.
        latents: with actions.
        training: length and speed.

    Raises:
        ForesightError: actions are missing, or episodes too short.
    """
    if latents.actions is None:
        raise ForesightError("An inverse model is learned from actions and there are none.")
    actions, z = latents.actions, latents.z
    longest = model.config.longest
    learn = Pairs(latents.offsets, latents.train, longest)
    held_out = Pairs(latents.offsets, latents.validation, longest)

    def loss(generator: torch.Generator) -> Tensor:
        start, gap, _ = learn.near(training.batch, generator)
        mean, log = model(z[start], z[start + gap], gap)
        return inverse_dynamics_loss(mean, actions[start], log)

    start, gap, _ = held_out.near(4096, torch.Generator().manual_seed(training.seed + 1))
    truth = actions[start]

    def validate() -> float:
        mean, log = model(z[start], z[start + gap], gap)
        return float(inverse_dynamics_loss(mean, truth, log))

    history = train_head(model, loss, validate, training)
    shown = actions[episode_rows(latents.offsets, latents.train)]
    centre, spread = shown.mean(0), shown.std(0).clamp(min=1e-6).log()
    constant = inverse_dynamics_loss(centre.expand_as(truth), truth, spread.expand_as(truth))
    with torch.no_grad():
        mean, _ = model(z[start], z[start + gap], gap)
        missed = (mean - truth).square().sum() / (truth - centre).square().sum().clamp(min=1e-12)
        return InverseReport(-validate(), -float(constant), 1 - float(missed), history)
