"""An actor that learned in imagination: encoder, state, one small network, no search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.spec import Spec
from foresight.core.thread_pool import run_alone
from foresight.perception.config import EncoderConfig
from foresight.perception.encoder import Encoder
from foresight.perception.readout import Readout
from foresight.policies.holding import HoldingPolicy
from foresight.policies.mpc import expect_robot, hold_of
from foresight.worldmodel.config import WorldModelConfig
from foresight.worldmodel.heads.prior import ActionPrior
from foresight.worldmodel.model import WorldModel
from foresight.worldmodel.observation import ObservationEncoder
from foresight.worldmodel.state import build_state

TYPE = "actor"


class Actor(nn.Module):
    """What acting needs of a world model, and the actor that learned in it.

    Attributes:
        state: the model's, frozen: features, and the robot's own numbers, to z.
        net: a squashed Gaussian over decisions.

    Args:
        config: of the world model.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.state = build_state(config.state, config.cameras, config.proprio)
        self.net = ActionPrior(self.state.dim, config.actions, config.heads.hidden)

    @classmethod
    def of(cls, model: WorldModel, net: ActionPrior) -> Actor:
        """A copy of a model's state beside a copy of an actor's weights, on the CPU."""
        found = cls(model.config)
        found.state.load_state_dict(model.state.state_dict())
        found.net.load_state_dict(net.state_dict())
        return found.eval()

    @torch.inference_mode()
    def decide(self, stacked: Float[Tensor, "B X"]) -> Float[Tensor, "B A"]:
        """The mean decision from stacked steps, in [-1, 1]: one forward pass."""
        device = next(self.net.parameters()).device
        return self.net.mean_action(self.state(stacked.to(device).float()))

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(folder, TYPE, config.to_json(), self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> Actor:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            actor = cls(WorldModelConfig.from_header(header))
        load_weights(actor, folder)
        return actor.eval()


class ActorPolicy(HoldingPolicy):
    """Sees, and lets the actor decide.

    Args:
        actor: trained.
        encoder: the one that its world model was trained with.
        hold: steps for which a decision is held.
        readout: how tokens become features, where the model has one.

    Raises:
        ForesightError: the actor belongs to another encoder or readout.
    """

    def __init__(
        self, actor: Actor, encoder: Encoder, hold: int, readout: Readout | None = None
    ) -> None:
        told = None if readout is None else readout.fingerprint
        actor.config.expect_encoder(encoder.fingerprint, told)
        cameras = tuple(camera.name for camera in actor.config.cameras)
        super().__init__(
            actor.config, ObservationEncoder(encoder, actor.state, readout, cameras), hold
        )
        self.actor = actor

    def decide(self, stacked: Float[Tensor, "N X"]) -> Float[Tensor, "N A"]:
        """The actor's mean decisions, in [-1, 1]."""
        if len(stacked) == 1 and stacked.device.type == "cpu":
            return run_alone(lambda: self.actor.decide(stacked))
        return self.actor.decide(stacked)


@dataclass(frozen=True)
class ActorFactory:
    """Makes the policy of an actor's checkpoint; picklable."""

    checkpoint: str
    device: str = "cpu"

    def __call__(self, spec: Spec) -> ActorPolicy:
        """Load everything and build the policy.

        Raises:
            ForesightError: the actor belongs to another encoder, readout or robot, is damaged, or
                decides at a rate that does not divide the environment's.
        """
        actor = Actor.load(self.checkpoint).to(self.device)
        config = actor.config
        expect_robot(config, spec, f"The actor {self.checkpoint}")
        eyes = EncoderConfig(config.encoder, config.readout or "tokens", self.device)
        encoder, readout = eyes.load()
        # Whole tokens of a lone tubelet are read without a readout, decision by decision.
        seen = readout if config.readout else None
        return ActorPolicy(actor, encoder, hold_of(actor, spec), seen)
