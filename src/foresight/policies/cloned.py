"""Behaviour cloning from latent states."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from foresight.core.checkpoint import (
    TrainedOn,
    building,
    load_weights,
    read_header,
    save_checkpoint,
)
from foresight.worldmodel.actions import scaled
from foresight.worldmodel.config import CameraInput, StateEncoderConfig
from foresight.worldmodel.state import build_state


@dataclass(frozen=True)
class CloningConfig(TrainedOn):
    """Sizes of a cloned policy and what it was trained on, named as in `WorldModelConfig`."""

    task: str
    cameras: tuple[CameraInput, ...]
    actions: int
    action_low: tuple[float, ...]
    action_high: tuple[float, ...]
    state: StateEncoderConfig = field(default_factory=StateEncoderConfig)
    proprio: int = 0


class ClonedPolicy(nn.Module):
    """Linear(Z→256) → LayerNorm → ReLU → Linear(256→64) → ReLU → Linear(64→A) → Tanh.

    279,490 parameters for a 1024-d latent and two actions. The tanh output stands for the action
    bounds. Method names follow LeRobot's policies.
    """

    def __init__(self, config: CloningConfig) -> None:
        super().__init__()
        self.config = config
        self.state = build_state(config.state, config.cameras, config.proprio)
        self.net = nn.Sequential(
            nn.Linear(self.state.dim, 256),
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
        return scaled(self.net(z), self.config)

    def predict_action_chunk(self, z: Float[Tensor, "B Z"]) -> Float[Tensor, "B 1 A"]:
        """A chunk of one action."""
        return self.select_action(z)[:, None]

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error between predicted and shown actions, in units of half their range.

        Args:
            batch: ``z [B, Z]`` and ``action [B, A]`` in [-1, 1].
        """
        loss = functional.mse_loss(self.net(batch["z"]), batch["action"])
        return loss, {"loss": float(loss.detach())}

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        raw = config.to_json()
        save_checkpoint(folder, "cloned-policy", raw, self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> ClonedPolicy:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, "cloned-policy")
        raw = header.config
        with building(header):
            config = CloningConfig.read(
                header,
                cameras=tuple(CameraInput(**camera) for camera in raw["cameras"]),
                action_low=tuple(raw["action_low"]),
                action_high=tuple(raw["action_high"]),
                state=StateEncoderConfig(**raw["state"]),
            )
            policy = cls(config)
        load_weights(policy, folder)
        return policy.eval()
