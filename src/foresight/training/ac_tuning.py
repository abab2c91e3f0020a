"""Fine-tune V-JEPA 2-AC's predictor on little data: most of it frozen, low-rank changes learned.

The loss is the published one (arXiv 2506.09985, section 3.1): the mean absolute difference of
predicted and true tokens of the next frame, teacher-forced, plus that of a rollout from the first
frame. Predictions are normalised, as they are when they are fed back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
import torch
from jaxtyping import Float
from torch import Tensor, nn

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.data.windows import WindowLoader
from foresight.perception.ac_data import ACEpisodes, held_states
from foresight.perception.ac_predictor import ACPredictor, normalise
from foresight.perception.ac_tuned import TunedAC, TunedACConfig, tunable
from foresight.perception.low_rank import merge_low_rank
from foresight.training.batches import seed_of
from foresight.training.experience import save_split
from foresight.training.loop import Batch, FitConfig, Record, fit, products
from foresight.training.token_windows import TokenWindows


@dataclass(frozen=True)
class ACTuning:
    """How V-JEPA 2-AC's predictor is fine-tuned."""

    base: Path | None = None
    """V-JEPA 2-AC checkpoint to begin from, such as vjepa2-ac-vitg.pt."""
    encoder: str | None = None
    """Encoder; the checkpoint's own if not given."""
    allow_foreign: bool = False
    """Let the predictor work on another encoder's tokens: an experiment."""
    pose: tuple[str, ...] = ()
    """Names of seven numbers of observation.state: x, y, z (metres), three Euler angles (radians),
    gripper. Actions are their changes, as V-JEPA 2-AC knows them. Without, the dataset's own
    actions and state, which get encoders of their own."""
    every: int = 0
    """Keep each so many-th frame; 0: what comes nearest to the 4 a second of V-JEPA 2-AC."""
    rank: int = 8
    """Of the change of each projection."""
    alpha: float = 16.0
    """The change is scaled by alpha / rank."""
    frames: int = 8
    """Frames of a window."""
    rollout: int = 2
    """Frames that are imagined one from another in the loss."""
    validation: float = 0.1
    """Share of episodes held out."""
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            epochs=10, updates=500, batch=4, lr=5e-4, weight_decay=0.0, clip=1.0, warmup=20
        )
    )


@dataclass(frozen=True)
class Need:
    """Memory that a training takes at least, in bytes, and how much of the predictor learns."""

    learned: int
    """Parameters."""
    parameters: int
    """Of the whole predictor."""
    weights: int
    """All parameters in fp32."""
    optimiser: int
    """Gradients and AdamW's two moments of what learns."""
    activations: int
    """What one batch keeps for its gradient."""
    free: int
    """What there is."""

    @property
    def sentence(self) -> str:
        """To be told before the training begins."""
        total = self.weights + self.optimiser + self.activations
        parts = (total, self.weights, self.optimiser, self.activations, self.free)
        need, weights, optimiser, activations, free = (f"{part / 2**30:.2f}" for part in parts)
        advice = ", too little: take fewer windows (--ac.fit.batch) or frames (--ac.frames)"
        return (
            f"{self.learned:,} of {self.parameters:,} parameters learn; that takes at least {need} "
            f"GiB ({weights} for weights, {optimiser} for gradients and moments, {activations} for "
            f"a batch) of {free} that are free{advice if total > self.free else ''}."
        )


def ac_losses(predictor: ACPredictor, batch: Batch, rollout: int = 2) -> dict[str, Tensor]:
    """The two parts of the loss on a batch of windows.

    Args:
        predictor: gradients flow through it.
        batch: ``tokens [B, T, N * D]``, ``action [B, T, W]``, ``state [B, T, W]``.
        rollout: K, frames that are imagined one from another, from the first one on.

    Returns:
        ``teacher``: mean absolute error of each next frame, and ``rollout``: of K imagined ones.
    """
    patches = predictor.config.patches
    seen = batch["tokens"].float().unflatten(2, (patches, -1)).flatten(1, 2)
    actions, states = batch["action"], batch["state"]
    time = actions.shape[1] - 1
    told = normalise(predictor(seen[:, : -patches or None], actions[:, :time], states[:, :time]))
    teacher = (told - seen[:, patches:]).abs().mean()
    frames = torch.cat([seen[:, :patches], told[:, :patches]], dim=1)
    for known in range(2, rollout + 1):
        guess = predictor(frames, actions[:, :known], states[:, :known])
        frames = torch.cat([frames, normalise(guess[:, -patches:])], dim=1)
    ahead = frames[:, patches:]
    return {
        "teacher": teacher,
        "rollout": (ahead - seen[:, patches:][:, : ahead.shape[1]]).abs().mean(),
    }


def tune_ac(
    predictor: ACPredictor,
    data: ACEpisodes,
    split: tuple[Sequence[int], Sequence[int]],
    config: TunedACConfig,
    training: ACTuning,
    folder: Path | str,
    tell: Callable[[str], None] = print,
) -> tuple[TunedAC, list[Record]]:
    """Fine-tune a predictor and keep it at its lowest held-out loss; resumable.

    Args:
        predictor: in fp32; changed in place.
        data: tokens, actions and states of the episodes of ``split``.
        split: episodes to learn from, and held-out ones.
        config: of the checkpoint; its sizes are filled in.
        training: how.
        folder: gets the checkpoint, the split and the state of the training.
        tell: is given one sentence on the memory that will be needed, before anything is learned.

    Returns:
        The tuned predictor and one record for each check: ``validation/loss`` beside that of the
        predictor as it was (``validation/untuned``) and of persistence.

    Raises:
        ForesightError: windows that are too short or too long, no episode that is long enough, or
            another training's folder.
    """
    folder, device = Path(folder), training.fit.device
    _check(training, predictor)
    torch.manual_seed(training.fit.seed)
    learned = tunable(predictor, config.robot, training.rank, training.alpha)
    predictor.to(device)
    windows = _Windows(data, split, training, held=not config.robot.pose)

    def loss(batch: Batch) -> tuple[Tensor, Record]:
        parts = ac_losses(predictor, batch, training.rollout)
        total = parts["teacher"] + parts["rollout"]
        return total, {
            "loss": float(total.detach()),
            **{k: float(v.detach()) for k, v in parts.items()},
        }

    def validate() -> Record:
        return windows.judged(lambda batch: loss(batch)[1])

    tell(memory_needed(predictor, learned, windows.first(), training).sentence)
    with torch.inference_mode():
        before = {
            "validation/untuned": validate()["validation/loss"],
            "validation/persistence": windows.judged(_persistence(training.rollout))[
                "validation/loss"
            ],
        }
    steps = training.fit.steps_per_epoch(len(windows.train))
    settings = replace(training, fit=replace(training.fit, device="cpu"), base=None)
    identity = fingerprint({"training": settings, "config": replace(config, spec=None)})
    history = fit(
        learned,
        lambda epoch: windows.epoch(epoch, steps),
        steps,
        loss,
        lambda: validate() | before,
        training.fit,
        folder,
        identity,
        select="validation/loss",
    )
    merge_low_rank(predictor.cpu().requires_grad_(False))
    tuned = TunedAC(predictor.eval(), replace(config, sizes=predictor.config))
    save_split(folder, *split)
    tuned.save(folder)
    return tuned, history


def memory_needed(
    predictor: ACPredictor, learned: nn.Module, batch: Batch, training: ACTuning
) -> Need:
    """What a training takes, measured on one window.

    Args:
        predictor: on the device where it learns, with its low-rank changes.
        learned: what of it learns.
        batch: of one window.
        training: its settings.
    """
    weights = {p.untyped_storage().data_ptr() for p in predictor.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(value: Tensor) -> Tensor:
        place = value.untyped_storage().data_ptr()
        if place not in weights:
            kept[place] = value
        return value

    device = predictor.device
    told = {name: value.to(device) for name, value in batch.items()}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value),
        products(replace(training.fit, device=str(device))),
    ):
        # What is kept lives as long as these do, so that no place is used twice.
        parts = ac_losses(predictor, told, training.rollout)
    held = sum(value.untyped_storage().nbytes() for value in kept.values())
    del parts
    learns = sum(p.numel() for p in learned.parameters())
    total = sum(p.numel() for p in predictor.parameters())
    free = psutil.virtual_memory().available
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
    return Need(learns, total, 4 * total, 12 * learns, training.fit.batch * held, free)


class _Windows(TokenWindows):
    """Windows of kept frames, drawn at random from training episodes and fixed on held-out ones."""

    def __init__(
        self,
        data: ACEpisodes,
        split: tuple[Sequence[int], Sequence[int]],
        training: ACTuning,
        held: bool,
    ) -> None:
        self.training, self.held = training, held
        super().__init__(
            data,
            split,
            training.frames,
            training.fit,
            f"{training.every or 'a few'} steps apart",
            "take shorter windows (--ac.frames) or more frames a second (--ac.every)",
        )

    def first(self) -> Batch:
        """One window."""
        return self._told(self.train, self.train.starts[:1])

    def epoch(self, epoch: int, steps: int) -> Iterator[Batch]:
        """Windows in an order of seed and epoch alone, all of them before any comes again."""
        fit, starts = self.training.fit, self.train.starts
        generator = torch.Generator().manual_seed(seed_of(fit.seed, epoch))
        rest = starts[:0]
        for _ in range(steps):
            if len(rest) < fit.batch:
                rest = torch.cat([rest, starts[torch.randperm(len(starts), generator=generator)]])
            yield self._told(self.train, rest[: fit.batch])
            rest = rest[fit.batch :]

    def held_out(self, starts: Tensor) -> Batch:
        """As they are."""
        return self._told(self.test, starts)

    def _told(self, loader: WindowLoader, starts: Tensor) -> Batch:
        batch = loader.gather(starts)
        return {**batch, "state": held_states(batch["state"])} if self.held else batch


def _persistence(rollout: int) -> Callable[[Batch], Record]:
    """The loss of predicting that nothing changes."""

    def judge(batch: Batch) -> Record:
        tokens: Float[Tensor, "B T F"] = batch["tokens"].float()
        teacher = (tokens[:, :-1] - tokens[:, 1:]).abs().mean()
        ahead = (tokens[:, :1] - tokens[:, 1 : rollout + 1]).abs().mean()
        return {"loss": float(teacher + ahead)}

    return judge


def _check(training: ACTuning, predictor: ACPredictor) -> None:
    limit = predictor.config.max_frames + 1
    if not 2 <= training.frames <= limit or not 1 <= training.rollout < training.frames:
        raise ForesightError(
            f"Windows of {training.frames} frames with {training.rollout} imagined ones do not "
            f"fit: take 2 to {limit} frames, and fewer imagined ones than that."
        )
