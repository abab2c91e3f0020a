"""Acting with what PPO learned; the library that it learned with is not needed for that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.spec import Spec
from foresight.perception.senses import FlatRobot, Senses
from foresight.policies.flat import FlatPolicy, senses_of

TYPE = "ppo-actor"
CLIP = 10.0
"""Deviations from the mean beyond which an input is no larger."""


@dataclass(frozen=True, kw_only=True)
class PPOActorConfig(FlatRobot):
    """What the actor is built from."""

    hidden: tuple[int, ...]
    """Width of its layers."""


class PPOActor(nn.Module):
    """The mean of the Gaussian that PPO learned, of inputs in their own deviations.

    Args:
        config: robot and sizes.
    """

    mean: Float[Tensor, " X"]
    variance: Float[Tensor, " X"]

    def __init__(self, config: PPOActorConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.inputs))
        self.register_buffer("variance", torch.ones(config.inputs))
        layers: list[nn.Module] = []
        width = config.inputs
        for hidden in config.hidden:
            layers += [nn.Linear(width, hidden), nn.Tanh()]
            width = hidden
        self.net = nn.Sequential(*layers, nn.Linear(width, config.actions))

    def forward(self, inputs: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The mean action, in [-1, 1]."""
        scaled = (inputs - self.mean) / (self.variance + 1e-8).sqrt()
        return cast(Tensor, self.net(scaled.clamp(-CLIP, CLIP))).clamp(-1, 1)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(folder, TYPE, config.to_json(), self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> PPOActor:
        """Read a checkpoint folder.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            hidden = tuple(header.config["hidden"])
            actor = cls(PPOActorConfig.from_header(header, hidden=hidden))
        load_weights(actor, folder)
        return actor.eval()


class PPOPolicy(FlatPolicy):
    """Does what the actor says, without noise.

    Args:
        actor: trained.
        senses: the ones that it learned with.
    """

    def __init__(self, actor: PPOActor, senses: Senses) -> None:
        super().__init__(actor.config, senses)
        self.actor = actor

    def begin(self, count: int, seed: int) -> None:
        """Nothing is carried along."""

    def decide(self, inputs: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The next action of every robot, in [-1, 1]."""
        found: Tensor = self.actor(inputs)
        return found


@dataclass(frozen=True)
class PPOFactory:
    """Makes the policy of an actor's checkpoint; picklable."""

    checkpoint: str
    device: str = "cpu"

    def __call__(self, spec: Spec) -> PPOPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: another robot, or a damaged checkpoint.
        """
        actor = PPOActor.load(self.checkpoint)
        senses = senses_of(actor.config, spec, f"PPO's actor {self.checkpoint}", self.device)
        return PPOPolicy(actor, senses)
