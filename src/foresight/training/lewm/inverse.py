"""Training of the goal-conditioned inverse model, with goals from hindsight."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.files import fingerprint
from foresight.data.dataset import Dataset
from foresight.training.experience import save_split, split_of
from foresight.training.lewm.clips import read_pixels
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.worldmodel.actions import normalised
from foresight.worldmodel.lewm.inverse import GoalInverse, InverseSizes
from foresight.worldmodel.lewm.model import LeWorldModel, settings_of

PIECE = 256
"""Pictures that are encoded at once."""


@dataclass(frozen=True)
class InverseTraining:
    """How the inverse model learns."""

    net: InverseSizes = field(default_factory=InverseSizes)
    farthest: int = 10
    """Blocks of actions between the present and a goal, at most; drawn evenly."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(epochs=10, updates=4000, batch=256, lr=1e-3, clip=1.0)
    )


def train_inverse(
    model: LeWorldModel,
    dataset: Dataset,
    training: InverseTraining,
    folder: Path | str,
    cache_root: Path | str,
    split: tuple[list[int], list[int]] | None = None,
) -> tuple[GoalInverse, list[Record]]:
    """Learn what is done on the way from one picture of an episode to a later one; resumable.

    Args:
        model: trained; left as it is.
        dataset: what it was trained on.
        training: how.
        folder: of the checkpoint.
        cache_root: where frames are kept uncompressed.
        split: episodes to learn from and held-out ones; a tenth is held out if not given.

    Returns:
        The inverse model, and one record for each check; ``validation/loss`` is the squared error
        of actions in [-1, 1].

    Raises:
        ForesightError: too few or too short episodes, or another training's folder.
    """
    folder, settings, config = Path(folder), training.fit, model.config
    split = split or split_of(dataset.lengths, 0.1, settings.seed)
    pixels = read_pixels(dataset, config.camera, config.sizes.image, cache_root)
    embedded = embeddings_of(model, pixels.array)
    taken = torch.from_numpy(dataset.column("action").reshape(len(embedded), -1).copy()).float()
    pairs = _Pairs(
        embedded, normalised(taken, config), np.asarray(dataset.offsets), config.every, training
    )
    torch.manual_seed(settings.seed)
    inverse = GoalInverse(model, training.net)
    steps = settings.steps_per_epoch(max(1, len(embedded) // settings.batch))

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        error = (inverse(batch["z"], batch["goal"]) - batch["block"]).square().mean()
        return error, {"loss": float(error.detach())}

    def validate() -> Record:
        (batch,) = pairs.epoch(split[1], 1, 0, 2048)
        moved = {name: value.to(settings.device) for name, value in batch.items()}
        return {"validation/loss": loss(moved)[1]["loss"]}

    known = replace(training, fit=replace(settings, device="cpu"))
    history = fit(
        inverse.net,
        lambda epoch: pairs.epoch(split[0], steps, epoch + 1, settings.batch),
        steps,
        loss,
        validate,
        settings,
        folder,
        fingerprint({"training": known, "model": settings_of(config)}),
        select="validation/loss",
    )
    save_split(folder, *split)
    inverse.save(folder)
    return inverse.eval(), history


@torch.inference_mode()
def embeddings_of(model: LeWorldModel, pixels: np.ndarray) -> Float[Tensor, "N D"]:
    """Embeddings of many pictures."""
    parts = [
        model.encode(torch.from_numpy(np.array(pixels[i : i + PIECE]))).float().cpu()
        for i in range(0, len(pixels), PIECE)
    ]
    return torch.cat(parts).clone()


@dataclass(frozen=True)
class _Pairs:
    """Moments, later moments of the same episode, and what was done right after the first."""

    z: Tensor
    actions: Tensor
    offsets: np.ndarray
    every: int
    training: InverseTraining

    def epoch(self, episodes: list[int], steps: int, epoch: int, batch: int) -> Iterator[Batch]:
        """Batches that follow from seed and epoch alone."""
        random = np.random.default_rng([self.training.fit.seed, epoch])
        own = [np.arange(self.offsets[i], self.offsets[i + 1] - self.every) for i in episodes]
        firsts = np.concatenate(own)
        ends = np.repeat(self.offsets[np.array(episodes) + 1] - 1, list(map(len, own)))
        for _ in range(steps):
            drawn = random.integers(len(firsts), size=batch)
            first = torch.from_numpy(firsts[drawn])
            blocks = random.integers(1, self.training.farthest + 1, size=batch)
            goal = np.minimum(firsts[drawn] + blocks * self.every, ends[drawn])
            rows = first[:, None] + torch.arange(self.every)
            yield {
                "z": self.z[first],
                "goal": self.z[torch.from_numpy(goal)],
                "block": self.actions[rows].flatten(1),
            }
