"""The choice of eyes: which encoder, which readout, on which device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from foresight.errors import ForesightError
from foresight.perception.encoder import Encoder, load_encoder
from foresight.perception.readout import READOUTS, Readout


@dataclass(frozen=True)
class Eyes:
    """Names instead of weights, so that it travels to worker processes and into files."""

    encoder: str = "random-small"
    """Folder or hub id of a V-JEPA 2 checkpoint, for example facebook/vjepa2-vitl-fpc64-256."""
    readout: str = "tubelet"
    """source: mean over the tokens of 8-frame windows; tubelet: 2 frames, tokens pooled to 4x4."""
    device: str = "cpu"
    """Where the encoder runs."""

    def load(self) -> tuple[Encoder, Readout]:
        """The encoder (loaded once in each process) and the readout.

        Raises:
            ForesightError: unknown readout, or the encoder cannot be loaded.
        """
        if self.readout not in READOUTS:
            raise ForesightError(
                f"Unknown readout {self.readout!r}: choose one of {', '.join(READOUTS)}."
            )
        return _load(self.encoder, self.device), READOUTS[self.readout]


@lru_cache(maxsize=2)
def _load(encoder: str, device: str) -> Encoder:
    return load_encoder(encoder, device=device)
