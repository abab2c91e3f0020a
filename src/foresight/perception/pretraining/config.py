"""Settings of a pretraining, light enough for the command line to import."""

from __future__ import annotations

from dataclasses import dataclass, field

from foresight.core.errors import ForesightError

MASK_NAMES = ("short", "long", "close", "wide")
"""Kinds of masks, see `foresight.perception.pretraining.masks`."""


@dataclass(frozen=True)
class Weights:
    """Weights of the loss terms; a term of weight 0 costs nothing."""

    latent: float = 1.0
    """L1 to the target encoder's layer-normed tokens at hidden patches (V-JEPA 2)."""
    dense: float = 0.0
    """The same at the patches that were seen (V-JEPA 2.1), so that tokens keep what they show."""
    pixels: float = 0.0
    """Mean square to the hidden patches' own normalised pixels (SimMIM, VideoMAE). Not divided by
    each patch's own spread: empty background would count as much as a robot."""
    visible: float = 0.0
    """The same at the patches that were seen: what `dense` is to `latent`. Without it nothing asks
    a token to keep what it shows itself."""

    def __post_init__(self) -> None:
        values = (self.latent, self.dense, self.pixels, self.visible)
        if min(values) < 0 or max(values) == 0:
            raise ForesightError(
                f"Loss weights {values} are refused: none may be negative, one must be positive."
            )


@dataclass(frozen=True)
class PredictorConfig:
    """Sizes of the predictor (V-JEPA 2's has 384 channels, 12 blocks and 12 heads)."""

    dim: int = 96
    """Channels."""
    depth: int = 3
    """Blocks."""
    heads: int = 3
    """Attention heads."""

    def __post_init__(self) -> None:
        _check_heads(self.dim, self.heads)
        if self.depth < 1:
            raise ForesightError(f"A predictor of {self.depth} blocks is refused: give at least 1.")


@dataclass(frozen=True)
class PretrainConfig:
    """How to pretrain an encoder."""

    init: str | None = None
    """An encoder of the sizes below to start from: a folder, hub id or name."""
    minutes: float = 10.0
    """Length as time; the schedules follow the clock."""
    updates: int | None = None
    """Length as a number of updates, instead of the minutes."""
    batch: int = 64
    """Clips per update and process."""
    frames: tuple[int, ...] = (4,)
    """Frames per clip, even numbers, taken in turn from update to update."""
    strides: tuple[int, ...] = (1, 2, 3, 4)
    """Environment steps between frames, one drawn for each clip."""
    masks: tuple[str, ...] = ("short", "long")
    """Kinds of masks, each used on every clip: short, long, close, wide."""
    loss: Weights = field(default_factory=Weights)
    """Weights of the loss terms."""
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    """Sizes of the mask predictor."""
    patch: int = 8
    """Side of a patch in pixels."""
    dim: int = 192
    """Channels of a token."""
    depth: int = 6
    """Blocks."""
    heads: int = 3
    """Attention heads."""
    lr: float = 1e-3
    """Peak learning rate: linear warm-up, then a cosine down to a hundredth."""
    warmup: float = 0.05
    """Part of the training that warms up."""
    weight_decay: float = 0.04
    """AdamW's decoupled weight decay, on matrices only."""
    clip: float = 1.0
    """Largest gradient norm."""
    momentum: tuple[float, float] = (0.996, 0.9995)
    """The target's momentum at the start and, along a cosine, at the end."""
    shift: int = 4
    """Pictures are moved by up to so many pixels."""
    device: str = "cpu"
    """cpu, cuda, cuda:1, or auto for cuda where there is one."""
    compile: bool = False
    """Let torch.compile fuse the trained half; needs a C++ compiler on a CPU."""
    probe_every: int = 2000
    """Updates between two running probes; 0 never."""
    save_every: int = 500
    """Updates between two saved states; the last one is always saved."""
    log_every: int = 50
    """Updates between two lines of the log."""
    seed: int = 0
    """Seeds weights, clips and masks."""

    def __post_init__(self) -> None:
        length = self.minutes if self.updates is None else self.updates
        if not length > 0:
            raise ForesightError(f"A training of length {length} is refused: give more than 0.")
        if any(n < 2 or n % 2 for n in self.frames) or not self.frames:
            raise ForesightError(f"Clips of {self.frames} frames are refused: give even numbers.")
        if any(stride < 1 for stride in self.strides) or not self.strides:
            raise ForesightError(f"Strides {self.strides} are refused: give numbers from 1.")
        for name in ("batch", "patch", "depth", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise ForesightError(
                    f"{name} {getattr(self, name)} is refused: give a number of at least 1."
                )
        for name in ("shift", "probe_every"):
            if getattr(self, name) < 0:
                raise ForesightError(f"{name} {getattr(self, name)} is refused: give 0 or more.")
        if not all(0 <= part <= 1 for part in (self.warmup, *self.momentum)):
            raise ForesightError(
                f"A warm-up of {self.warmup} and a momentum of {self.momentum} are refused: give "
                "parts from 0 to 1."
            )
        _check_heads(self.dim, self.heads)
        for name in self.masks:
            if name not in MASK_NAMES:
                raise ForesightError(f"Unknown mask {name!r}: choose from {', '.join(MASK_NAMES)}.")
        if not self.masks:
            raise ForesightError(f"No mask was named: choose from {', '.join(MASK_NAMES)}.")


def _check_heads(dim: int, heads: int) -> None:
    if heads < 1 or dim % heads or (dim // heads) % 2 or dim // heads < 6:
        raise ForesightError(
            f"{heads} heads over {dim} channels do not fit: heads need an even number of at least "
            "6 channels each."
        )
