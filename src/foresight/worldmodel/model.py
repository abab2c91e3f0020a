"""A world model as one thing: latent state, dynamics and reward, with what they were trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from foresight.errors import ForesightError
from foresight.worldmodel.checkpoint import load_checkpoint, save_checkpoint
from foresight.worldmodel.latent import LatentConfig, LatentState
from foresight.worldmodel.networks import ResidualDynamics, RewardModel


@dataclass(frozen=True)
class WorldModelConfig:
    """Everything needed to build the networks again, and the fingerprints that tie them down."""

    task: str
    features: int
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    latent: LatentConfig = field(default_factory=LatentConfig)
    hidden: int = 512
    layers: int = 3
    reward_hidden: int = 256
    encoder: str = ""
    encoder_fingerprint: str = ""
    readout: str = ""
    readout_fingerprint: str = ""
    dataset_fingerprint: str = ""


class WorldModel(nn.Module):
    """Latent state, residual dynamics and reward of one task."""

    def __init__(self, config: WorldModelConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = LatentState(config.latent, config.features)
        self.dynamics = ResidualDynamics(
            self.latent.dim, config.actions, config.hidden, config.layers
        )
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
        save_checkpoint(self, self.config, folder)

    @classmethod
    def load(cls, folder: Path | str) -> WorldModel:
        """Read a checkpoint folder.

        Raises:
            ForesightError: a file is missing or damaged, or the weights have other sizes than the
                configuration says.
        """
        return load_checkpoint(folder, lambda raw: cls(WorldModelConfig(**raw)), "world model")


def count_parameters(module: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(parameter.numel() for parameter in module.parameters())
