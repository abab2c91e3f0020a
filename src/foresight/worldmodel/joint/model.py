"""The jointly learned model: adapter, dynamics ensemble, reward, values and action prior.

Source of the parts: TD-MPC2 (Hansen et al. 2024, arXiv 2310.16828) for SimNorm, the joint objective
and the squashed Gaussian prior; PETS (Chua et al. 2018) for the ensemble.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import EnsembleDynamics
from foresight.worldmodel.heads.scalar import ScalarConfig, ScalarHead
from foresight.worldmodel.joint.config import GROUP, JointConfig
from foresight.worldmodel.patches import PlaceAxes

BINS = 51
VALUES = 2
"""Value networks whose mean ends a plan."""
PLACE_WIDTH, PLACE_NUMBERS = 64, 16
"""Hidden units and outputs of the adapter at each place."""
LOG_DEVIATION = (-5.0, 0.5)
"""Bounds of the prior's log standard deviation, before squashing."""
LEAST = 1e-2
"""Parts of a state below this count as this much before a step: their logarithms stay small."""


def simnorm(x: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
    """Softmax over groups of 8 dimensions, in fp32; states stay bounded however far one goes.

    Members of a group lie Z / 8 apart: a softmax along neighbours is several times slower.
    """
    return x.float().unflatten(-1, (GROUP, -1)).softmax(-2).flatten(-2)


class JointDynamics(nn.Module):
    """An ensemble of MLPs that change the logits of a state: ``z' = simnorm(log z + f(z, a))``.

    Nothing changes where f is 0; added to z itself, the softmax would flatten every state.
    """

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.members = config.members
        sizes = DynamicsConfig("mlp", members=config.members, hidden=config.hidden, layers=2)
        self.ensemble = EnsembleDynamics(sizes, config.latent, config.actions)

    def step(
        self, z: Float[Tensor, "E *batch Z"], action: Float[Tensor, "*batch A"]
    ) -> Float[Tensor, "E *batch Z"]:
        """One imagined step of every member from its own state, under shared actions."""
        return _moved(z, self.ensemble.step(z, action))

    def apart(
        self, z: Float[Tensor, "E *batch Z"], actions: Float[Tensor, "E *batch H A"]
    ) -> Float[Tensor, "E *batch H+1 Z"]:
        """Imagine with each member's own states and actions; entry 0 is ``z``."""
        states = [z]
        for action in actions.unbind(-2):
            states.append(_moved(states[-1], self.ensemble.network.step(states[-1], action)))
        return torch.stack(states, dim=-2)


def _moved(
    z: Float[Tensor, "*batch Z"], after: Float[Tensor, "*batch Z"]
) -> Float[Tensor, "*batch Z"]:
    """The state whose logits differ from those of ``z`` by what a residual step added to it."""
    return simnorm(z.clamp(min=LEAST).log() + (after - z))


class ActionPrior(nn.Module):
    """A squashed Gaussian over actions in [-1, 1]."""

    def __init__(self, latent: int, actions: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * actions),
        )

    def forward(
        self, z: Float[Tensor, "*batch Z"]
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch A"]]:
        """Mean and standard deviation before squashing."""
        mean, raw = self.net(z.to(next(self.net.parameters()).dtype)).float().chunk(2, dim=-1)
        low, high = LOG_DEVIATION
        return mean, (low + 0.5 * (high - low) * (torch.tanh(raw) + 1)).exp()

    def sample(
        self, z: Float[Tensor, "*batch Z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch A"], Float[Tensor, "*batch"]]:
        """An action and its log probability (SAC; Haarnoja et al. 2018, appendix C)."""
        mean, deviation = self(z)
        noise = torch.randn(mean.shape, generator=generator, device=mean.device)
        action = torch.tanh(mean + deviation * noise)
        density = -0.5 * noise.square() - deviation.log() - 0.9189385
        inside = (1 - action.square()).clamp(min=0) + 1e-6
        return action, (density - inside.log()).sum(-1)


class Adapter(nn.Module):
    """Place numbers of a few pictures to Z logits: the same small network at every place, then one.

    What a place shows and how it changes is read by weights that all places share, so a goal seen
    at one place is known at the others; one layer over all places alone learns them one by one.

    Args:
        config: sizes.
    """

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.places, self.history = config.places, config.history
        self.shared = nn.Linear(config.history * config.axes, PLACE_WIDTH)
        self.place = nn.Parameter(torch.zeros(config.places, PLACE_WIDTH))
        self.narrow = nn.Linear(PLACE_WIDTH, PLACE_NUMBERS)
        self.all = nn.Sequential(
            nn.LayerNorm(config.places * PLACE_NUMBERS),
            nn.Linear(config.places * PLACE_NUMBERS, config.adapter),
            nn.LayerNorm(config.adapter),
            nn.ReLU(),
            nn.Linear(config.adapter, config.latent),
        )

    def forward(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch Z"]:
        """Logits of place numbers, the pictures one after the other, newest first."""
        pictures = features.unflatten(-1, (self.history, self.places, -1))
        beside = pictures.transpose(-3, -2).flatten(-2)
        read = self.narrow(torch.relu(self.shared(beside) + self.place))
        return self.all(read.flatten(-2))


class Senses(nn.Module):
    """Proprioception read off a state: a dense lesson in where things are, used in training only.

    Args:
        latent: Z.
        count: numbers of proprioception.
        hidden: width.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, latent: int, count: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, count)
        )
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("deviation", torch.ones(count))

    @torch.no_grad()
    def fit(self, senses: Float[Tensor, "n S"]) -> None:
        """Take scales from these numbers; what never changes keeps a scale of 1."""
        deviation = senses.std(0)
        self.mean.copy_(senses.mean(0))
        self.deviation.copy_(torch.where(deviation > 1e-4, deviation, torch.ones(())))

    def forward(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch S"]:
        """Senses in their own units."""
        return self.net(z).float() * self.deviation + self.mean

    def loss(
        self, z: Float[Tensor, "*batch Z"], senses: Float[Tensor, "*batch S"]
    ) -> Float[Tensor, ""]:
        """Mean square error in units of the deviation; far outliers count as 5 deviations."""
        wanted = ((senses - self.mean) / self.deviation).clamp(-5, 5)
        return (self.net(z).float() - wanted).square().mean()


class JointModel(nn.Module):
    """From tokens to a latent state, and everything imagined from there.

    Actions are in [-1, 1] throughout; `scaled` gives those of the environment.

    Args:
        config: sizes.
    """

    def __init__(self, config: JointConfig) -> None:
        super().__init__()
        self.config = config
        self.axes = PlaceAxes(config.places, config.token_dim, config.axes)
        self.adapter = Adapter(config)
        self.dynamics = JointDynamics(config)
        top = _symlog(config.repeat) * 1.1
        most = _symlog(config.repeat / (1 - config.discount)) * 1.1
        # A fifth of the bins lies below 0, and 0 on one: nothing is what most states earn.
        reward = ScalarConfig(hidden=config.hidden, bins=BINS, low=-0.25 * top, high=top)
        value = ScalarConfig(
            hidden=config.hidden, bins=BINS, low=-0.25 * most, high=most, members=config.values
        )
        self.reward = ScalarHead(config.latent, config.actions, reward)
        self.value = ScalarHead(config.latent, config.actions, value)
        self.prior = ActionPrior(config.latent, config.actions, config.hidden)
        self.sense = Senses(config.latent, config.senses, config.hidden) if config.senses else None

    @property
    def features(self) -> int:
        """F, the place numbers that a state is read from: those of every picture of the history."""
        return self.axes.features * self.config.history

    def encode(self, features: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch Z"]:
        """The latent state of the place numbers of a picture and its past, newest first."""
        if not torch.is_autocast_enabled(features.device.type):
            features = features.float()
        return simnorm(self.adapter(features))

    def worth(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, " M *batch"]:
        """Value of states under the prior's mean action, by every value network."""
        return self.value(z, torch.tanh(self.prior(z)[0]))

    def scaled(self, action: Float[Tensor, "*batch A"]) -> Float[Tensor, "*batch A"]:
        """Actions in [-1, 1] in the environment's units."""
        low, high = (
            torch.tensor(bound, device=action.device)
            for bound in (self.config.action_low, self.config.action_high)
        )
        return low + 0.5 * (action + 1) * (high - low)

    def for_planning(self, members: int, dtype: torch.dtype) -> JointModel:
        """A frozen copy with fewer dynamics, two values, and all but the adapter in ``dtype``.

        Args:
            members: dynamics to keep, the first ones; at most all.
            dtype: of the networks that imagine.

        Raises:
            ForesightError: more members than there are.
        """
        if not 1 <= members <= self.config.members:
            raise ForesightError(
                f"Planning with {members} dynamics is not possible: the model has "
                f"{self.config.members}."
            )
        small = JointModel(replace(self.config, members=members, values=VALUES))
        held = self.state_dict()
        # Where shapes differ there is an axis of members in front.
        kept = {
            name: held[name][: len(wanted)] if held[name].shape != wanted.shape else held[name]
            for name, wanted in small.state_dict().items()
        }
        small.load_state_dict(kept)
        for part in (small.dynamics, small.reward, small.value, small.prior):
            part.to(dtype)
        device = next(self.parameters()).device
        return small.eval().requires_grad_(False).to(device)

    def expect_encoder(self, fingerprint: str) -> None:
        """Refuse tokens of another encoder.

        Raises:
            ForesightError: the fingerprint differs.
        """
        if self.config.encoder_fingerprint != fingerprint:
            raise ForesightError(
                f"This world model was trained on encoder {self.config.encoder} "
                f"({self.config.encoder_fingerprint}) and got {fingerprint}: use that encoder, or "
                "train again."
            )

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        save_checkpoint(folder, "joint-world-model", self.config, self)

    @classmethod
    def load(cls, folder: Path | str) -> JointModel:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, "joint-world-model")
        bounds = ("action_low", "action_high")
        with building(header):
            tuples = {name: tuple(header.config[name]) for name in bounds}
            model = cls(JointConfig(**{**header.config, **tuples}))
        load_weights(model, folder)
        return model.eval()


def _symlog(x: float) -> float:
    return float(torch.log1p(torch.tensor(float(x))))


def initialise(model: JointModel) -> None:
    """Small truncated normal weights for the adapter and the prior; heads have their own."""
    for part in (model.adapter, model.prior):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=module.in_features**-0.5)
                nn.init.zeros_(module.bias)
