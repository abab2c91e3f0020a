"""A goal-conditioned inverse model on frozen embeddings: what was done on the way to there."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import building, load_weights, read_header, save_checkpoint
from foresight.worldmodel.lewm.config import LeWMConfig
from foresight.worldmodel.lewm.model import LeWorldModel

TYPE = "lewm-inverse"


@dataclass(frozen=True)
class InverseSizes:
    """Of the network."""

    hidden: int = 256
    """Width of its layers."""
    layers: int = 2
    """Hidden layers."""


def inverse_network(config: LeWMConfig, sizes: InverseSizes) -> nn.Sequential:
    """Two embeddings, one after the other, to the block of actions in [-1, 1] between them."""
    width, layers = 2 * config.sizes.dim, list[nn.Module]()
    for _ in range(sizes.layers):
        layers += [nn.Linear(width, sizes.hidden), nn.LayerNorm(sizes.hidden), nn.GELU()]
        width = sizes.hidden
    return nn.Sequential(*layers, nn.Linear(width, config.block), nn.Tanh())


class GoalInverse(nn.Module):
    """The next block of actions from the embeddings of the present and of the goal.

    Behaviour cloning with goals from hindsight, on which planners have to improve: it costs one
    forward pass (arXiv 2605.08732).

    Args:
        model: whose embeddings are read; it does not learn here.
        sizes: of the network.
    """

    def __init__(self, model: LeWorldModel, sizes: InverseSizes | None = None) -> None:
        super().__init__()
        self.sizes = sizes or InverseSizes()
        self.model = model.eval().requires_grad_(False)
        self.net = inverse_network(model.config, self.sizes)

    def forward(self, z: Float[Tensor, "B D"], goal: Float[Tensor, "B D"]) -> Float[Tensor, "B W"]:
        """A block of actions in [-1, 1]."""
        return self.net(torch.cat([z, goal], -1))

    def save(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors``, the embeddings' model included."""
        config = self.model.config
        raw = {"model": config.to_json(), "net": asdict(self.sizes), "task": config.task}
        save_checkpoint(folder, TYPE, raw, self, config.spec, config.fingerprints)

    @classmethod
    def load(cls, folder: Path | str) -> GoalInverse:
        """Read a checkpoint folder, in eval mode.

        Raises:
            ForesightError: a file is missing or damaged, or of another type or size.
        """
        header = read_header(folder, TYPE)
        with building(header):
            config = LeWMConfig.of(replace(header, config=header.config["model"]))
            found = cls(LeWorldModel(config), InverseSizes(**header.config["net"]))
        load_weights(found, folder)
        return found.eval()
