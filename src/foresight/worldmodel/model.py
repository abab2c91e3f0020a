"""A world model as one thing: latent state, dynamics and reward, with what they were trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.worldmodel.dynamics.config import DynamicsConfig
from foresight.worldmodel.dynamics.ensemble import build_dynamics
from foresight.worldmodel.latent import LatentConfig, LatentState
from foresight.worldmodel.networks import RewardModel


@dataclass(frozen=True)
class WorldModelConfig:
    """Everything needed to build the networks again, and the fingerprints that tie them down."""

    task: str
    features: int
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    latent: LatentConfig = field(default_factory=LatentConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    reward_hidden: int = 256
    encoder: str = ""
    encoder_fingerprint: str = ""
    readout: str = ""
    readout_fingerprint: str = ""
    dataset_fingerprint: str = ""


class WorldModel(nn.Module):
    """Latent state, dynamics and reward of one task.

    ``dynamics`` is a single network for one member, else an ensemble, whose attribute ``members``
    says how many and whose states have a leading axis of members.
    """

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = LatentState(config.latent, config.features)
        self.dynamics = build_dynamics(config.dynamics, self.latent.dim, config.actions)
        self.reward = RewardModel(self.latent.dim, config.actions, config.reward_hidden)

    def expect_encoder(self, fingerprint: str, readout_fingerprint: str) -> None:
        """Refuse features of another encoder or readout than the model was trained on.

        Raises:
            ForesightError: a fingerprint differs.
        """
        config = self.config
        if config.encoder_fingerprint != fingerprint:
            raise ForesightError(
                f"This world model was trained on encoder {config.encoder} "
                f"({config.encoder_fingerprint}) and got {fingerprint}: use that encoder, or train "
                "again."
            )
        if config.readout_fingerprint != readout_fingerprint:
            raise ForesightError(
                f"This world model was trained on readout {config.readout} "
                f"({config.readout_fingerprint}) and got {readout_fingerprint}: use that readout, "
                "or train again."
            )

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        save_checkpoint(folder, "world-model", self.config, self)

    @classmethod
    def load(cls, folder: Path | str) -> WorldModel:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, "world-model")
        with building(header):
            model = cls(_read_config(header.config))
        load_weights(model, folder)
        return model.eval()


def _read_config(raw: dict[str, Any]) -> WorldModelConfig:
    """A configuration from its JSON."""
    parts = {
        "latent": LatentConfig(**raw["latent"]),
        "dynamics": DynamicsConfig(**raw["dynamics"]),
        "action_low": tuple(raw["action_low"]),
        "action_high": tuple(raw["action_high"]),
    }
    return WorldModelConfig(**{**raw, **parts})


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters())
