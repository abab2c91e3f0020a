"""Sizes of the frame-causal predictors, by name, and what a checkpoint says of one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from foresight.core.checkpoint import TrainedOn
from foresight.core.errors import ForesightError
from foresight.perception.ac_data import ACRobot

Size = Literal["tiny", "1m", "10m", "100m", "300m"]
HEAD = 64
"""Channels of an attention head in every named size."""
PAST = 4
"""Frames that a predictor is shown before it imagines, the present one included."""
LAYOUT: dict[Size, tuple[int, int]] = {
    "tiny": (64, 2),
    "1m": (192, 4),
    "10m": (320, 8),
    "100m": (768, 14),
    "300m": (1024, 24),
}
"""Width and depth."""


@dataclass(frozen=True)
class PredictorSizes:
    """What the network is made of."""

    dim: int = 192
    """Features per token of the encoder (D)."""
    grid: int = 8
    """Tokens per side of a frame."""
    actions: int = 1
    """Numbers of an action (A)."""
    states: int = 0
    """Numbers of the robot's state (S); 0: it is told of none."""
    width: int = 192
    """Features per token inside the predictor."""
    depth: int = 4
    """Blocks."""
    heads: int = 3
    """Attention heads."""
    context: int = 8
    """Frames that attention sees back, the present one included: as many as a training window."""
    conditioning: Literal["tokens", "adaln"] = "tokens"
    """tokens: action and state are tokens of their frame, as in V-JEPA 2-AC; adaln: they scale and
    shift every norm (adaLN-Zero)."""
    positions: Literal["rotary", "learned"] = "rotary"
    """rotary: only distances in time count, so a rollout may be longer than the context; learned:
    one vector for each place, so it may not."""
    output: Literal["normalised", "free"] = "normalised"
    """normalised: as tokens are, and as V-JEPA 2-AC does it; free: a share of the present frame's
    distance from the mean frame, learned for each channel, and what the network adds. What may come
    is on average shorter than a token, the more so the further ahead: normalised, it cannot be
    said."""
    residual: bool = True
    """The output is the change of the present frame, and at first none; otherwise the next frame
    itself, as in V-JEPA 2-AC."""

    @property
    def patches(self) -> int:
        """Tokens of one frame (N)."""
        return self.grid**2

    @property
    def conditions(self) -> int:
        """Condition tokens of one frame."""
        return (1 + bool(self.states)) if self.conditioning == "tokens" else 0

    @property
    def limit(self) -> int | None:
        """Most frames of a sequence; None: any number."""
        return self.context if self.positions == "learned" else None

    @property
    def parameters(self) -> int:
        """Their exact number, counted from the sizes alone."""
        w = self.width
        blocks = self.depth * (12 * w**2 + 13 * w)
        ends = (self.dim * w + w) + 2 * w + (w * self.dim + self.dim)
        told = self.actions * w + w
        if self.states:
            told += self.states * w + 2 * w  # and what stands for a state that is not known
        if self.conditioning == "adaln":
            blocks += self.depth * (6 * w**2 + 6 * w)
        if self.output == "free":
            ends += self.dim
        places = (self.context + self.patches + self.conditions) * w
        return blocks + ends + told + (places if self.positions == "learned" else 0)

    def check(self) -> None:
        """See that the sizes go together.

        Raises:
            ForesightError: a width that the heads do not share, or one below 1, or a free output
                that does not begin with the present frame.
        """
        if self.output == "free" and not self.residual:
            raise ForesightError(
                "A predictor whose output is free begins with the present frame: set residual, or "
                "output to normalised."
            )
        least = min(self.dim, self.grid, self.actions, self.depth, self.heads, self.context)
        if least < 1 or self.states < 0 or self.width % (2 * self.heads):
            raise ForesightError(
                f"A predictor of width {self.width} with {self.heads} heads, {self.depth} blocks "
                f"and a context of {self.context} frames cannot be built: each from 1 on, and an "
                "even number of channels for each head."
            )


def named_sizes(size: Size, base: PredictorSizes) -> PredictorSizes:
    """``base`` with the width, depth and heads of a name.

    Raises:
        ForesightError: there is no such size.
    """
    if size not in LAYOUT:
        raise ForesightError(f"There is no predictor {size!r}: choose one of {', '.join(LAYOUT)}.")
    width, depth = LAYOUT[size]
    return replace(base, width=width, depth=depth, heads=width // HEAD)


def window_flops(sizes: PredictorSizes, frames: int) -> float:
    """Floating-point operations of one forward pass over a window of ``frames``.

    Products alone, 2 for each multiply-add: of the blocks, the embeddings and attention.
    """
    w, tokens = sizes.width, sizes.patches + sizes.conditions
    linear = sizes.depth * 12 * w**2 * tokens + 2 * sizes.dim * w * sizes.patches
    seen = sum(min(t + 1, sizes.context) for t in range(frames))
    attention = sizes.depth * 2 * w * tokens**2 * seen
    return 2.0 * (frames * linear + attention)


@dataclass(frozen=True, kw_only=True)
class PredictorConfig(TrainedOn):
    """What a trained predictor is, and how its robot is told to it."""

    sizes: PredictorSizes
    robot: ACRobot
