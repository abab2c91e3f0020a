"""LeWorldModel: pictures to embeddings, embeddings and actions to the next embedding."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.core.errors import ForesightError
from foresight.worldmodel.actions import normalised, scaled
from foresight.worldmodel.lewm.config import LeWMConfig
from foresight.worldmodel.lewm.layers import ActionEncoder, Predictor, Projection
from foresight.worldmodel.lewm.vit import VisionTransformer

TYPE = "lewm"


class LeWorldModel(nn.Module):
    """A world model without frozen eyes (arXiv 2603.19312).

    Attributes:
        vit: pictures to class tokens.
        projection: class tokens to embeddings.
        action_encoder: blocks of actions to conditions.
        predictor: the next embedding, before its own projection.
        predicted: to an embedding.

    Args:
        config: sizes and robot.
    """

    def __init__(self, config: LeWMConfig) -> None:
        super().__init__()
        sizes = config.sizes
        self.config = config
        self.vit = VisionTransformer(sizes)
        self.projection = Projection(sizes.width, sizes.hidden, sizes.dim)
        self.action_encoder = ActionEncoder(config.block, sizes.dim)
        self.predictor = Predictor(sizes)
        self.predicted = Projection(sizes.dim, sizes.hidden, sizes.dim)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.predictor.position.device

    def encode(self, pictures: UInt8[Tensor, "*b H W 3"]) -> Float[Tensor, "*b D"]:
        """Embeddings of pictures.

        Raises:
            ForesightError: pictures of another size than those the model was made for.
        """
        side = self.config.sizes.image
        if tuple(pictures.shape[-3:]) != (side, side, 3):
            raise ForesightError(
                f"Pictures of {pictures.shape[-3]}x{pictures.shape[-2]} pixels do not fit this "
                f"LeWorldModel: give {side}x{side}."
            )
        flat = pictures.reshape(-1, side, side, 3).to(self.device)
        return self.projection(self.vit(flat)).view(*pictures.shape[:-3], -1)

    def predict(
        self, z: Float[Tensor, "B T D"], blocks: Float[Tensor, "B T W"]
    ) -> Float[Tensor, "B T D"]:
        """What follows each of T embeddings under the blocks of actions taken there.

        Args:
            z: T consecutive embeddings, at most ``history``.
            blocks: actions in [-1, 1], those of ``every`` steps one after the other.

        Raises:
            ForesightError: more embeddings than the history holds.
        """
        if z.shape[1] > self.config.sizes.history:
            raise ForesightError(
                f"{z.shape[1]} embeddings are more than the history of this LeWorldModel: give "
                f"{self.config.sizes.history} at most."
            )
        return self.predicted(self.predictor(z, self.action_encoder(blocks)))

    def normalised(self, actions: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """The robot's actions in [-1, 1]."""
        return normalised(actions, self.config)

    def scaled(self, actions: Float[Tensor, "*b A"]) -> Float[Tensor, "*b A"]:
        """Actions in [-1, 1] in the robot's units."""
        return scaled(actions, self.config)

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        config = self.config
        save_checkpoint(folder, TYPE, config.to_json(), self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> LeWorldModel:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            model = cls(LeWMConfig.of(header))
        load_weights(model, folder)
        return model.eval()


def parameters_of(model: LeWorldModel) -> dict[str, int]:
    """Numbers that are learned, part by part."""
    parts = {
        "encoder": model.vit,
        "projection": model.projection,
        "action_encoder": model.action_encoder,
        "predictor": model.predictor,
        "predicted": model.predicted,
    }
    return {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}


def settings_of(config: LeWMConfig) -> dict[str, Any]:
    """What of a configuration decides a training, as plain values."""
    return {**config.to_json(), "sizes": asdict(config.sizes), **config.fingerprints}
