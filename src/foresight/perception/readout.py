"""Readouts: tokens to one feature vector per step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from foresight.errors import ForesightError
from foresight.files import fingerprint
from foresight.perception.encoder import Encoder


@dataclass(frozen=True)
class Readout:
    """How the tokens of a window that ends at the present step become one vector.

    Attributes:
        window: frames in the window, a multiple of the encoder's tubelet.
        pool: ``mean`` over all tokens (F = D), or ``grid``: each tubelet's tokens averaged to
            ``grid`` × ``grid`` cells (F = tubelets · grid² · D, ordered tubelet, row, column,
            channel).
        grid: cells per side; ignored by ``mean``.
    """

    window: int
    pool: Literal["mean", "grid"]
    grid: int = 4

    def __post_init__(self) -> None:
        if self.window < 2 or self.window % 2:
            raise ForesightError(
                f"A readout window of {self.window} frames is refused: choose an even number of at "
                "least 2, else the present frame would be dropped."
            )
        if self.pool not in ("mean", "grid"):
            raise ForesightError(f"Unknown pooling {self.pool!r}: choose mean or grid.")
        if self.grid < 1:
            raise ForesightError(f"A grid of {self.grid} cells is refused: choose at least 1.")

    def apply(self, tokens: Float[Tensor, "b n h w d"]) -> Float[Tensor, "b f"]:
        """Pool tokens ``[B, T/2, h, w, D]`` to features ``[B, F]``.

        Raises:
            ForesightError: the grid is finer than the tokens.
        """
        if self.pool == "mean":
            return tokens.mean(dim=(1, 2, 3))
        batch, tubelets, height, width, dim = tokens.shape
        grid = self.grid
        _check_grid(grid, min(height, width))
        if height % grid or width % grid:
            image = tokens.flatten(0, 1).permute(0, 3, 1, 2)
            cells = functional.adaptive_avg_pool2d(image, grid).permute(0, 2, 3, 1)
        else:
            shape = (batch * tubelets, grid, height // grid, grid, width // grid, dim)
            cells = tokens.reshape(shape).mean(dim=(2, 4))
        return cells.reshape(batch, tubelets * grid * grid * dim)

    def feature_dim(self, encoder: Encoder) -> int:
        """Length F of a feature vector with this encoder.

        Raises:
            ForesightError: window or grid do not fit the encoder.
        """
        if self.window % encoder.tubelet:
            raise ForesightError(
                f"A window of {self.window} frames does not fit the encoder {encoder.name}: choose "
                f"a multiple of {encoder.tubelet}."
            )
        if self.pool == "mean":
            return encoder.dim
        _check_grid(self.grid, encoder.grid)
        return self.window // encoder.tubelet * self.grid**2 * encoder.dim

    @property
    def fingerprint(self) -> str:
        """Hash of everything that changes the features."""
        grid = self.grid if self.pool == "grid" else None
        return fingerprint({"window": self.window, "pool": self.pool, "grid": grid})


READOUTS = {
    # What the source documents did: one mean vector of a sliding window.
    "source": Readout(window=8, pool="mean"),
    # The last tubelet alone, with space kept; history is stacked when features are read.
    "tubelet": Readout(window=2, pool="grid", grid=4),
}


def _check_grid(grid: int, tokens: int) -> None:
    if grid > tokens:
        raise ForesightError(
            f"A readout grid of {grid} is finer than the encoder's {tokens} tokens per side: "
            f"choose at most {tokens}."
        )
