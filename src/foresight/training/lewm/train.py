"""LeWorldModel's objective and its training (arXiv 2603.19312).

``mean |predicted z_{t+1} - z_{t+1}|^2 + lambda SIGReg(z_t)``: gradients flow through prediction and
target alike, and nothing but the second term keeps all embeddings from being one. It keeps them
apart, but does not say by what: an embedding that shows half of what moves, or where it is within a
patch alone, can be as predictable and as normal. Asked for the actions between two of them as well
(as in ICM, arXiv 1705.05363, and PLDM, arXiv 2502.14819), they have to show all that actions move.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foresight.core.files import fingerprint
from foresight.data.dataset import Dataset
from foresight.training.experience import expect_actions, save_split, split_of
from foresight.training.lewm.clips import Clips, read_pixels
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.worldmodel.actions import action_bounds, normalised
from foresight.worldmodel.lewm.config import LeWMConfig, LeWMSizes, sizes_of
from foresight.worldmodel.lewm.inverse import InverseSizes, inverse_network
from foresight.worldmodel.lewm.model import LeWorldModel, settings_of
from foresight.worldmodel.lewm.sigreg import SIGReg

MOST_CLIPS = 512
"""Held-out clips that are looked at."""
SETTLING = 1024
"""Training clips over which the statistics of batch norms are taken."""


@dataclass(frozen=True)
class LeWMTraining:
    """How a LeWorldModel learns; the defaults are the published ones."""

    size: str = "paper-64"
    """paper (224 pixels), paper-64, or small and mini for a processor."""
    dim: int | None = None
    """Of an embedding, if not the size's: a world of few numbers needs few."""
    every: int = 5
    """Steps between two frames; their actions are one block."""
    weight: float = 0.09
    """Of SIGReg, lambda."""
    inverse: float = 0.0
    """Weight of a term that asks two embeddings in a row for the actions between them. The
    published objective has none; small models then keep only part of what they see."""
    directions: int = 1024
    """Random directions of SIGReg, drawn anew at every update."""
    validation: float = 0.1
    """Share of episodes held out."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=10, batch=128, lr=5e-5, weight_decay=1e-3, clip=1.0
        )
    )


class ModelAndInverse(nn.Module):
    """What learns together: the model, and what guesses actions from its embeddings.

    Args:
        model: trained in place.
    """

    def __init__(self, model: LeWorldModel) -> None:
        super().__init__()
        self.model = model
        self.inverse = inverse_network(model.config, InverseSizes(hidden=128, layers=1))


def lewm_losses(
    model: LeWorldModel, batch: Batch, regulariser: SIGReg, inverse: nn.Module | None = None
) -> dict[str, Tensor]:
    """The terms on a batch of clips.

    Args:
        model: gradients flow through all of it.
        batch: see `Clips.gather`.
        regulariser: SIGReg.
        inverse: two embeddings ``[..., 2 D]`` to the actions between them, or none.

    Returns:
        ``prediction``, the mean squared error of each next embedding from those before it,
        ``sigreg``, the mean over the steps of a clip, with an inverse model ``inverse``, its mean
        squared error; and the embeddings ``z [B, T, D]``.
    """
    z = model.encode(batch["frames"])
    ahead = model.predict(z[:, :-1], batch["blocks"])
    prediction = (ahead.float() - z[:, 1:].float()).square().mean()
    parts = {"prediction": prediction, "sigreg": regulariser(z.transpose(0, 1)), "z": z}
    if inverse is not None:
        guessed = inverse(torch.cat([z[:, :-1], z[:, 1:]], -1))
        parts["inverse"] = (guessed.float() - batch["blocks"]).square().mean()
    return parts


def train_lewm(
    dataset: Dataset,
    training: LeWMTraining,
    folder: Path | str,
    cache_root: Path | str,
    camera: str,
    task: str = "",
    sizes: LeWMSizes | None = None,
    tensorboard: bool = False,
) -> tuple[LeWorldModel, list[Record]]:
    """Learn from any dataset with pictures and actions; resumable.

    Args:
        dataset: the episodes.
        training: size, objective and length.
        folder: gets the checkpoint, the split, ``metrics.jsonl`` and the training's state.
        cache_root: where frames are kept uncompressed.
        camera: whose pictures are seen.
        task: id of the environment, for the checkpoint.
        sizes: of the model, if not those of the training's named size.
        tensorboard: log there as well.

    Returns:
        The model and one record for each check: prediction error, that of persistence (that
        nothing changes), SIGReg, and the effective rank of the embeddings, on held-out episodes.

    Raises:
        ForesightError: no actions, too few or too short episodes, or another training's folder.
    """
    folder, settings = Path(folder), training.fit
    expect_actions(dataset)
    sizes = sizes or sizes_of(training.size)
    sizes = replace(sizes, dim=training.dim or sizes.dim)
    split = split_of(dataset.lengths, training.validation, settings.seed)
    taken = torch.from_numpy(dataset.column("action").reshape(sum(dataset.lengths), -1).copy())
    low, high = action_bounds(dataset.spec, taken.numpy())
    config = LeWMConfig(
        sizes=sizes,
        actions=taken.shape[1],
        action_low=low,
        action_high=high,
        every=training.every,
        camera=camera,
        task=task,
        dataset_fingerprint=dataset.fingerprint,
        spec=dataset.spec,
    )
    pixels = read_pixels(dataset, camera, sizes.image, cache_root)
    clips = Clips(
        pixels.array,
        normalised(taken.float(), config),
        dataset.offsets,
        sizes.history + 1,
        training.every,
    )
    torch.manual_seed(settings.seed)
    model = LeWorldModel(config)
    history = _fitted(model, clips, split, training, folder, tensorboard)
    save_split(folder, *split)
    model.save(folder)
    return model, history


def _fitted(
    model: LeWorldModel,
    clips: Clips,
    split: tuple[list[int], list[int]],
    training: LeWMTraining,
    folder: Path,
    tensorboard: bool,
) -> list[Record]:
    settings, regulariser = training.fit, SIGReg(training.directions)
    train, held_out = (clips.starts(episodes) for episodes in split)
    steps = settings.steps_per_epoch(max(1, len(train) // settings.batch))
    learner = ModelAndInverse(model) if training.inverse else None
    inverse = None if learner is None else learner.inverse
    weights = {"prediction": 1.0, "sigreg": training.weight, "inverse": training.inverse}

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        parts = lewm_losses(model, batch, regulariser, inverse)
        del parts["z"]
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        told = {name: float(part.detach()) for name, part in parts.items()}
        return total, {"loss": float(total.detach())} | told

    held = held_out[:: -(-len(held_out) // MOST_CLIPS)]
    settling = train[:: -(-len(train) // SETTLING)]
    known = replace(training, fit=replace(settings, device="cpu"))
    return fit(
        learner or model,
        lambda epoch: clips.epoch(train, settings.batch, steps, settings.seed, epoch),
        steps,
        loss,
        lambda: _judged(model, clips, settling, held, settings, regulariser, inverse),
        settings,
        folder,
        fingerprint({"training": known, "model": settings_of(model.config)}),
        select=None,
        tensorboard=tensorboard,
    )


def settle_norms(
    model: LeWorldModel, clips: Clips, starts: Int64[Tensor, " n"], batch: int, device: str = "cpu"
) -> None:
    """Give batch norms the statistics of the weights as they are now.

    Those that gather during training follow the weights with a delay. Embeddings change fast at a
    high learning rate, and a model that predicts well with the statistics of its batch then
    predicts nothing with those that it keeps. Two passes over the same clips: the second projection
    sees what the first one gives once it has settled.

    Args:
        model: in eval mode; left in it.
        clips: of the training data.
        starts: first steps of the clips.
        batch: clips at once; fewer than two say nothing of a spread and are left out.
        device: where the model is.
    """
    for projection in (model.projection, model.predicted):
        norm = projection.norm
        momentum, norm.momentum = norm.momentum, None  # the plain mean over all batches
        norm.reset_running_stats()
        norm.train()
        for part in starts.split(batch):
            if len(part) > 1:
                found = {name: value.to(device) for name, value in clips.gather(part).items()}
                z = model.encode(found["frames"])
                if projection is model.predicted:
                    model.predict(z[:, :-1], found["blocks"])
        norm.momentum = momentum
        norm.eval()


def _judged(
    model: LeWorldModel,
    clips: Clips,
    settling: Tensor,
    starts: Tensor,
    settings: FitConfig,
    regulariser: SIGReg,
    inverse: nn.Module | None,
) -> Record:
    """Means over held-out clips, with settled norms; the same directions every time."""
    settle_norms(model, clips, settling, settings.batch, settings.device)
    sums: Record = {}
    found = []
    torch.manual_seed(settings.seed)
    for part in starts.split(settings.batch):
        batch = {name: value.to(settings.device) for name, value in clips.gather(part).items()}
        parts = lewm_losses(model, batch, regulariser, inverse)
        z = parts.pop("z").float()
        parts["persistence"] = (z[:, :-1] - z[:, 1:]).square().mean()
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(part) / len(starts)
        found.append(z.flatten(0, 1).cpu())
    sums["rank"] = effective_rank(torch.cat(found))
    return {f"validation/{name}": value for name, value in sums.items()}


def effective_rank(z: Float[Tensor, "N D"]) -> float:
    """Exponential of the entropy of the covariance's spectrum (Roy and Vetterli 2007): 1 to D."""
    spectrum = torch.linalg.svdvals((z - z.mean(0)).double()).square()
    shares = spectrum / spectrum.sum().clamp(min=1e-300)
    return float(torch.exp(-(shares * shares.clamp(min=1e-300).log()).sum()))
