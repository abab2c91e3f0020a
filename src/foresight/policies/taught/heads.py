"""What it takes to follow a demonstration: a space, a distance in time, an inverse model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.checkpoint import (
    CONFIG,
    WEIGHTS,
    building,
    load_weights,
    read_header,
    save_checkpoint,
)
from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, fingerprint
from foresight.data.dataset import Dataset
from foresight.data.layout import is_dataset
from foresight.policies.taught.space import Space
from foresight.worldmodel.heads import InverseModel, Reachability
from foresight.worldmodel.heads.inverse import InverseConfig
from foresight.worldmodel.heads.reachability import ReachabilityConfig

HEADS = "taught"
"""Folder of the heads' checkpoint inside that of their model."""


@dataclass(frozen=True)
class TaughtConfig:
    """How the heads are built and trained. No reward enters anywhere."""

    longest: int = 16
    """Most decisions between a state and its goal."""
    hidden: int = 256
    """Width of both heads."""
    updates: int = 4000
    """Updates of each head."""
    batch: int = 256
    """Pairs of an update."""
    lr: float = 1e-3
    """Peak learning rate."""
    validation: float = 0.1
    """Share of episodes never learned from."""
    seed: int = 0
    """Of weights, draws and the split."""

    def __post_init__(self) -> None:
        if self.longest < 2 or self.updates < 1 or not 0 < self.validation < 1:
            raise ForesightError(
                f"Heads of {self.longest} decisions, trained for {self.updates} updates with "
                f"{self.validation} held out, are refused: choose at least 2 and 1, and a share "
                "between 0 and 1."
            )


class TaughtHeads(nn.Module):
    """Space, distance in time and inverse model of one learned task, on frozen latent states.

    Actions are in [-1, 1], steps are decisions.

    Args:
        latent: Z.
        actions: A.
        config: sizes.
    """

    centre: Float[Tensor, " Z"]
    scale: Float[Tensor, ""]
    known: Float[Tensor, "n Z"]
    loudest: Float[Tensor, ""]

    def __init__(self, latent: int, actions: int, config: TaughtConfig, known: int = 256) -> None:
        super().__init__()
        self.config = config
        self.space = Space(latent)
        shape = InverseConfig(config.hidden, 2, config.longest)
        self.inverse = InverseModel(latent, (-1.0,) * actions, (1.0,) * actions, shape)
        far = ReachabilityConfig(config.hidden, 2, config.longest)
        self.reach = Reachability(latent, far)
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("known", torch.zeros(known, latent))
        self.register_buffer("loudest", torch.zeros(()))

    def standard(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch Z"]:
        """States in units of its deviation, as `reach` takes it."""
        return (z.float() - self.centre) * self.scale

    def decisions(
        self, z: Float[Tensor, "*batch Z"], goal: Float[Tensor, "*batch Z"]
    ) -> Float[Tensor, "*batch"]:
        """About how many decisions lead from ``z`` to ``goal``; unreliable beyond ``longest``."""
        part: Tensor = self.reach(self.standard(z), self.standard(goal))
        return part * self.config.longest

    def action(
        self,
        z: Float[Tensor, "*batch Z"],
        goal: Float[Tensor, "*batch Z"],
        steps: Float[Tensor, "*batch"] | float,
    ) -> Float[Tensor, "*batch A"]:
        """The decision that leads from ``z`` to ``goal`` in so many decisions, in [-1, 1]."""
        here, there = self.space(z), self.space(goal)
        action: Tensor = self.inverse(here, there, torch.as_tensor(steps).to(here))[0]
        return action

    def strangeness(self, features: Float[Tensor, "n F"]) -> float:
        """How far pictures are from what the model has seen, 1 at the edge of it.

        The largest mean square of the place numbers of a picture over the largest in training.
        """
        return float(features.float().square().mean(-1).amax() / self.loudest)

    def remoteness(self, goal: Float[Tensor, " Z"]) -> float:
        """Distance in time of a state from the nearest of those seen in training, in decisions."""
        return float(self.decisions(self.known, goal).amin())


def save_heads(heads: TaughtHeads, folder: Path, report: dict[str, Any], identity: str) -> None:
    """Write a checkpoint of the heads into the folder ``taught`` of their model."""
    sizes = {"latent": heads.known.shape[1], "actions": len(heads.inverse.low)}
    stored = {"sizes": asdict(heads.config), **sizes, "known": len(heads.known), "report": report}
    save_checkpoint(folder / HEADS, "taught-heads", stored, heads, None, {"model": identity})


def load_heads(folder: Path | str) -> TaughtHeads:
    """Read what `save_heads` wrote, in eval mode.

    Args:
        folder: of the model, or of the heads inside it.

    Raises:
        ForesightError: a file is missing, damaged, or belongs to another model.
    """
    folder = Path(folder)
    if (folder / CONFIG).is_file() and read_header(folder).type == "taught-heads":
        folder = folder.parent
    header = read_header(folder / HEADS, "taught-heads")
    raw = header.config
    with building(header):
        config = TaughtConfig(**raw["sizes"])
        heads = TaughtHeads(raw["latent"], raw["actions"], config, raw["known"])
    if header.fingerprints.get("model") != heads_identity(folder, config):
        raise ForesightError(
            f"The heads for teaching in {folder} belong to other weights of the model: remove the "
            f"folder {HEADS} in it and run `foresight teach` again."
        )
    load_weights(heads, folder / HEADS)
    return heads.eval().requires_grad_(False)


def stored_report(folder: Path, identity: str) -> dict[str, Any] | None:
    """The report of heads that are at hand for this identity; None where there are none."""
    if not (folder / HEADS / CONFIG).exists():
        return None
    header = read_header(folder / HEADS, "taught-heads")
    report: dict[str, Any] = header.config["report"]
    return report if header.fingerprints.get("model") == identity else None


def heads_identity(folder: Path | str, config: TaughtConfig) -> str:
    """Hash of the model's weights, the number of its episodes and the heads' configuration."""
    folder = Path(folder)
    weights = folder / WEIGHTS
    if not weights.exists():
        raise ForesightError(
            f"{folder} holds no learned model: run `foresight learn` and give its folder."
        )
    data = folder.parent / "data"
    episodes = len(Dataset.open(data)) if is_dataset(data) else 0
    return fingerprint([file_fingerprint(weights), episodes, asdict(config)])
