"""Train a frame-causal predictor on a dataset's cached tokens; resumable, by any number of GPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foresight.core.files import fingerprint
from foresight.data.windows import WindowLoader
from foresight.perception.ac_data import ACEpisodes
from foresight.training.batches import epoch_rows, seed_of
from foresight.training.experience import save_split
from foresight.training.loop import Batch, FitConfig, Record, fit
from foresight.training.predictor.parallel import Ranks, shared
from foresight.training.token_windows import TokenWindows
from foresight.worldmodel.predictor.checkpoint import TrainedPredictor
from foresight.worldmodel.predictor.config import PAST, PredictorConfig, PredictorSizes, Size
from foresight.worldmodel.predictor.losses import (
    Persistence,
    PredictorLoss,
    PredictorLossConfig,
)
from foresight.worldmodel.predictor.network import FramePredictor

SCALE_FRAMES = 1024
"""Training frames that centre and spread are taken from."""


@dataclass(frozen=True)
class PredictorTraining:
    """How a frame-causal predictor of tokens is trained."""

    size: Size = "1m"
    """1m, 10m, 100m or 300m parameters; tiny is for tests."""
    sizes: PredictorSizes = field(default_factory=lambda: PredictorSizes(output="free"))
    """How it is told of actions, its positions, its context; the rest follows from size and
    data."""
    every: int = 1
    """Keep each so many-th frame; actions in between are averaged."""
    state: bool = True
    """Tell it the robot's state at the frames that were seen."""
    frames: int = 12
    """Frames of a window."""
    loss: PredictorLossConfig = field(
        default_factory=lambda: PredictorLossConfig(
            "cosine", seen=PAST, rollout=0, teacher=False, growing=0.5
        )
    )
    validation: float = 0.1
    """Share of episodes held out."""
    compile: bool = False
    """Compile the blocks (torch.compile): a minute at first, faster updates on a GPU."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=50,
            updates=5000,
            batch=16,
            lr=5e-4,
            weight_decay=0.04,
            clip=0.5,
            beta2=0.98,
            warmup=200,
            dtype="auto",
        )
    )
    """Of 5,000 updates; what is learned is kept at each of the 50 checks."""


def train_predictor(
    data: ACEpisodes,
    split: tuple[Sequence[int], Sequence[int]],
    config: PredictorConfig,
    training: PredictorTraining,
    folder: Path | str,
    ranks: Ranks | None = None,
) -> tuple[TrainedPredictor, list[Record]]:
    """Train and keep the weights of the lowest held-out loss; resumable.

    Several processes share every batch equally and average their gradients, so that the result is
    that of one process but for rounding.

    Args:
        data: tokens, actions and states of the episodes.
        split: episodes to learn from, and held-out ones.
        config: what the checkpoint says; its sizes are those of the network.
        training: how.
        folder: gets the checkpoint, the split, ``metrics.jsonl`` and the state of the training.
        ranks: which of several processes this one is.

    Returns:
        The predictor and one record for each check, ``validation/loss`` beside
        ``validation/persistence``.

    Raises:
        ForesightError: windows that no episode is long enough for, a batch that the processes
            cannot share, another training's folder, or a loss that is not finite.
    """
    folder, ranks = Path(folder), ranks or Ranks()
    windows = Windows(data, split, config.sizes, training, ranks)
    torch.manual_seed(training.fit.seed)
    network = FramePredictor(config.sizes)
    network.fit_scale(windows.scale_frames())
    network.to(training.fit.device)
    if training.compile:
        for block in network.blocks:
            block.compile()
    losses = PredictorLoss(network, training.loss)
    learning = shared(losses, ranks)

    def numbers(module: torch.nn.Module, batch: Batch) -> tuple[Tensor, Record]:
        parts = module(*told(batch, config.sizes))
        total = torch.stack(list(parts.values())).sum()
        logs = {"loss": total, **parts}
        return total, {name: float(value.detach()) for name, value in logs.items()}

    def validate() -> Record:
        return windows.judged(lambda batch: numbers(losses, batch)[1]) | still

    resting = PredictorLoss(Persistence(network.centre, network.spread), training.loss)
    still = windows.judged(lambda batch: numbers(resting, batch)[1])
    still = {"validation/persistence": still["validation/loss"]}
    identity = fingerprint(
        {
            "training": replace(training, compile=False, fit=replace(training.fit, device="cpu")),
            "config": replace(config, spec=None),
        }
    )
    steps = training.fit.steps_per_epoch(len(windows.train))
    history = fit(
        network,
        lambda epoch: windows.epoch(epoch, steps),
        steps,
        lambda batch: numbers(learning, batch),
        validate,
        training.fit,
        folder,
        identity,
        select="validation/loss",
        writes=ranks.first,
    )
    trained = TrainedPredictor(network.requires_grad_(False), config)
    if ranks.first:
        save_split(folder, *split)
        trained.save(folder)
    ranks.wait()
    return trained, history


def told(
    batch: Batch, sizes: PredictorSizes
) -> tuple[
    Float[Tensor, "B T N D"], Float[Tensor, "B T A"], Float[Tensor, "B T S"] | None, Tensor | None
]:
    """A batch as the predictor takes it: tokens, actions, states and where these are known."""
    tokens = batch["tokens"].float().unflatten(2, (sizes.patches, sizes.dim))
    actions = batch["action"][..., : sizes.actions]
    if not sizes.states:
        return tokens, actions, None, None
    time = torch.arange(tokens.shape[1], device=tokens.device)
    known = time < batch["known"][:, None]
    return tokens, actions, batch["state"][..., : sizes.states], known


class Windows(TokenWindows):
    """Windows of kept frames, drawn at random from training episodes and fixed on held-out ones."""

    def __init__(
        self,
        data: ACEpisodes,
        split: tuple[Sequence[int], Sequence[int]],
        sizes: PredictorSizes,
        training: PredictorTraining,
        ranks: Ranks | None = None,
    ) -> None:
        self.sizes, self.training, self.ranks = sizes, training, ranks or Ranks()
        super().__init__(
            data,
            split,
            training.frames,
            training.fit,
            f"{training.every} steps apart",
            "take shorter windows (--predictor.frames) or more frames (--predictor.every)",
        )

    def scale_frames(self) -> Float[Tensor, "n N D"]:
        """Frames from all over the training windows."""
        starts = self.train.starts
        picked = starts[torch.linspace(0, len(starts) - 1, min(SCALE_FRAMES, len(starts))).long()]
        tokens = self.train.arrays["tokens"][picked].float()
        return tokens.view(len(picked), self.sizes.patches, self.sizes.dim)

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """This process's share of batches that depend on seed and epoch alone.

        All windows come once before any comes again.
        """
        fit, starts = self.training.fit, self.train.starts
        share = self.ranks.share(fit.batch)
        generator = torch.Generator().manual_seed(seed_of(fit.seed, epoch))
        pieces = epoch_rows(starts, fit.batch, generator)
        for step in range(steps):
            some = starts[next(pieces)]
            cuts = self._cuts(generator, (epoch + step / steps) / fit.epochs)
            yield self._windows(self.train, some[share], cuts[share])

    def held_out(self, starts: Tensor) -> Batch:
        """States are known of half of the frames, or of those that are seen."""
        loss, frames = self.training.loss, self.training.frames
        known = frames // 2 if loss.teacher else loss.shown(frames)
        return self._windows(self.test, starts, torch.full((len(starts),), known))

    def _cuts(self, generator: torch.Generator, done: float) -> Int64[Tensor, " b"]:
        """The frames of each window of a batch whose state is known, after a share of training."""
        loss, frames = self.training.loss, self.training.frames
        size = (self.training.fit.batch,)
        if loss.teacher:
            return torch.randint(1, frames + 1, size, generator=generator)
        seen = int(torch.randint(1, loss.shown(frames) + 1, (1,), generator=generator))
        left = max(0.0, 1 - done / loss.growing) if loss.growing else 0.0
        return torch.full(size, seen + round((frames - 1 - seen) * left))

    @staticmethod
    def _windows(loader: WindowLoader, starts: Tensor, cuts: Tensor) -> Batch:
        return {**loader.gather(starts), "known": cuts}
