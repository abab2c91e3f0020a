"""Behaviour cloning with the sources' network (findings, phase 1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.worldmodel.latent import LatentConfig, LatentState


@dataclass(frozen=True)
class CloningConfig:
    """Sizes of a cloned policy and the fingerprints of what it was trained on."""

    task: str
    features: int
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    latent: LatentConfig = field(default_factory=LatentConfig)
    encoder_fingerprint: str = ""
    readout_fingerprint: str = ""
    dataset_fingerprint: str = ""


class ClonedPolicy(nn.Module):
    """Linear(Z→256) → LayerNorm → ReLU → Linear(256→64) → ReLU → Linear(64→A) → Tanh.

    279,490 parameters for a 1024-d latent and two actions. The tanh output is scaled to the action
    bounds, which for the control suite are ±1. Method names follow LeRobot's policies.
    """

    def __init__(self, config: CloningConfig) -> None:
        super().__init__()
        self.config = config
        self.latent = LatentState(config.latent, config.features)
        self.net = nn.Sequential(
            nn.Linear(self.latent.dim, 256),
            nn.LayerNorm(256),
            nn.ReLU(),
            nn.Linear(256, 64),
            nn.ReLU(),
            nn.Linear(64, config.actions),
            nn.Tanh(),
        )

    def reset(self) -> None:
        """Start an episode; this policy keeps no memory."""

    @torch.inference_mode()
    def select_action(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B A"]:
        """The action for latent states ``z``, within the bounds."""
        return self._scale(self.net(z))

    def predict_action_chunk(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B 1 A"]:
        """A chunk of one action."""
        return self.select_action(z)[:, None]

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error between predicted and shown actions.

        Args:
            batch: ``z [B, Z]`` and ``action [B, A]``.
        """
        loss = functional.mse_loss(self._scale(self.net(batch["z"])), batch["action"])
        return loss, {"loss": float(loss.detach())}

    def _scale(self, unit: Float[Tensor, "B A"]) -> Float[Tensor, "B A"]:
        low = unit.new_tensor(self.config.action_low)
        high = unit.new_tensor(self.config.action_high)
        return low + (unit + 1) / 2 * (high - low)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        save_checkpoint(folder, "cloned-policy", self.config, self)

    @classmethod
    def load(cls, folder: Path | str) -> ClonedPolicy:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, "cloned-policy")
        raw = header.config
        with building(header):
            bounds = {name: tuple(raw[name]) for name in ("action_low", "action_high")}
            latent = LatentConfig(**raw["latent"])
            policy = cls(CloningConfig(**{**raw, **bounds, "latent": latent}))
        load_weights(policy, folder)
        return policy.eval()
