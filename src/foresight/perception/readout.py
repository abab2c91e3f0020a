"""Readouts: tokens to one feature vector per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.perception.encoder import Encoder
from foresight.perception.zoom import Zoom

Pool = Literal["mean", "grid", "last", "difference", "tokens"]
# Frames that are encoded together for `difference`: one tubelet of V-JEPA 2.
PAIR = 2


@dataclass(frozen=True)
class Readout:
    """How the tokens of a window that ends at the present step become one vector.

    Below, g² means the tokens of a tubelet averaged to ``grid`` × ``grid`` cells, D the encoder's
    width and n the tubelets of a window. Vectors are ordered tubelet, row, column, channel.

    Attributes:
        window: frames in the window, a multiple of the encoder's tubelet.
        pool: ``mean`` over all tokens (F = D); ``grid``, every tubelet's cells (F = n·g²·D);
            ``last``, the cells of the last tubelet, which has attended to the whole window
            (F = g²·D); ``difference``, the cells of the last tubelet and their difference to
            those ``lag`` steps ago (F = 2·g²·D); ``tokens``, all tokens as they are.
        grid: cells per side; ignored by ``mean`` and ``tokens``.
        stride: steps between neighbouring frames of the window; 0 repeats the present frame, a
            still picture.
        tubelets: which tubelets ``tokens`` keeps: ``all``, or the ``last``.
        zoom: a second look at a part of the frame; its features follow those of the whole.

    ``difference`` encodes each pair of frames on its own and subtracts features of different
    steps, instead of taking two tubelets of one window. A window that moves by one frame pairs
    its frames into other tubelets at every step, so that odd and even steps look different; a
    lone pair has one phase only. It is cheaper too: every pair is encoded once.
    """

    window: int
    pool: Pool
    grid: int = 4
    stride: int = 1
    tubelets: Literal["all", "last"] = "all"
    zoom: Zoom | None = None

    def __post_init__(self) -> None:
        if self.window < 2 or self.window % 2:
            raise ForesightError(
                f"A readout window of {self.window} frames is refused: choose an even number of at "
                "least 2, else the present frame would be dropped."
            )
        if self.pool not in get_args(Pool):
            raise ForesightError(
                f"Unknown pooling {self.pool!r}: choose one of {', '.join(get_args(Pool))}."
            )
        if self.grid < 1:
            raise ForesightError(f"A grid of {self.grid} cells is refused: choose at least 1.")
        if self.stride < (1 if self.pool == "difference" else 0):
            raise ForesightError(
                f"A readout stride of {self.stride} steps is refused: choose at least 1, or 0 for "
                "a still picture, in which there is no difference."
            )
        if self.tubelets not in ("all", "last"):
            raise ForesightError(f"Unknown tubelets {self.tubelets!r}: choose all or last.")
        if self.pool == "difference" and self.window <= PAIR:
            raise ForesightError(
                f"A difference readout over {self.window} frames has no earlier tubelet: choose a "
                "window of at least 4."
            )

    @property
    def clip(self) -> int:
        """Frames that are encoded together: the window, or a pair of it for ``difference``."""
        return PAIR if self.pool == "difference" else self.window

    @property
    def back(self) -> np.ndarray:
        """Steps from the present to each frame of a clip: int ``[clip]``, ascending, last 0."""
        return self.stride * np.arange(1 - self.clip, 1)

    @property
    def lag(self) -> int:
        """Steps between the features that ``difference`` subtracts; 0 for the other pools."""
        return (self.window - PAIR) * self.stride if self.pool == "difference" else 0

    @property
    def views(self) -> int:
        """Clips that are encoded for one step: 1, or 2 with a zoom."""
        return 1 if self.zoom is None else 2

    def frame_size(self, encoder: Encoder) -> int:
        """Height and width in pixels of the frames that this readout wants with this encoder."""
        return encoder.image_size * (1 if self.zoom is None else self.zoom.factor)

    def apply(self, tokens: Float[Tensor, "b n h w d"]) -> Float[Tensor, "b p"]:
        """Pool the tokens ``[B, n, h, w, D]`` of one view's clips to ``[B, P]``.

        For ``difference`` these are the cells of one moment, from which `FeatureStream` subtracts
        those of ``lag`` steps ago.

        Raises:
            ForesightError: the grid is finer than the tokens.
        """
        if self.pool == "mean":
            return tokens.mean(dim=(1, 2, 3))
        if self.pool == "tokens":
            return (tokens[:, -1:] if self.tubelets == "last" else tokens).flatten(1)
        return _cells(tokens if self.pool == "grid" else tokens[:, -1:], self.grid)

    def pooled_dim(self, encoder: Encoder) -> int:
        """Length P of what `apply` gives for one clip of one view.

        Raises:
            ForesightError: window or grid do not fit the encoder.
        """
        if self.clip % encoder.tubelet or self.window % encoder.tubelet:
            raise ForesightError(
                f"A window of {self.window} frames does not fit the encoder {encoder.name}: choose "
                f"a multiple of {encoder.tubelet}."
            )
        tubelets = self.clip // encoder.tubelet
        if self.pool == "mean":
            return encoder.dim
        if self.pool == "tokens":
            return (1 if self.tubelets == "last" else tubelets) * encoder.grid**2 * encoder.dim
        _check_grid(self.grid, encoder.grid)
        return (tubelets if self.pool == "grid" else 1) * self.grid**2 * encoder.dim

    def feature_dim(self, encoder: Encoder) -> int:
        """Length F of a feature vector with this encoder, all views together.

        Raises:
            ForesightError: window or grid do not fit the encoder.
        """
        parts = 2 if self.pool == "difference" else 1
        return self.views * parts * self.pooled_dim(encoder)

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes the features."""
        grid = None if self.pool in ("mean", "tokens") else self.grid
        # Fields at their defaults stay out: caches made before a field existed stay valid.
        content: dict[str, object] = {"window": self.window, "pool": self.pool, "grid": grid}
        if self.stride != 1:
            content["stride"] = self.stride
        if self.pool == "tokens" and self.tubelets == "last":
            content["tubelets"] = "last"
        if self.zoom is not None:
            content["zoom"] = [self.zoom.x, self.zoom.y, self.zoom.factor]
        return fingerprint(content)


READOUTS = {
    # One mean vector of a sliding window.
    "mean": Readout(window=8, pool="mean"),
    # The last tubelet alone, with space kept; history is stacked when features are read.
    "tubelet": Readout(window=2, pool="grid"),
    # The last tubelet, which has seen the motion of eight frames.
    "last": Readout(window=8, pool="last"),
    # Where things are and how they have moved since the tubelet before.
    "difference": Readout(window=4, pool="difference"),
    # Nothing pooled, for readers that attend themselves; large.
    "tokens": Readout(window=2, pool="tokens"),
}


def _cells(tokens: Tensor, grid: int) -> Tensor:
    """Average ``[B, n, h, w, D]`` to ``grid`` × ``grid`` cells, flattened to ``[B, n·g²·D]``."""
    batch, tubelets, height, width, dim = tokens.shape
    _check_grid(grid, min(height, width))
    if height % grid or width % grid:
        image = tokens.flatten(0, 1).permute(0, 3, 1, 2)
        cells = functional.adaptive_avg_pool2d(image, grid).permute(0, 2, 3, 1)
    else:
        shape = (batch * tubelets, grid, height // grid, grid, width // grid, dim)
        cells = tokens.reshape(shape).mean(dim=(2, 4))
    return cells.reshape(batch, tubelets * grid * grid * dim)


def _check_grid(grid: int, tokens: int) -> None:
    if grid > tokens:
        raise ForesightError(
            f"A readout grid of {grid} is finer than the encoder's {tokens} tokens per side: "
            f"choose at most {tokens}."
        )
