"""Which encoder, which readout, on which device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from foresight.perception.bundled import FORESIGHT_SMALL
from foresight.perception.encoder import Encoder, load_encoder
from foresight.perception.preprocess import DEFAULT_FIT, Fit
from foresight.perception.readout import Readout
from foresight.perception.readout_spec import parse_readout


@dataclass(frozen=True)
class EncoderConfig:
    """Names instead of weights, so that it travels to worker processes and into files."""

    encoder: str = FORESIGHT_SMALL
    """foresight-small, random-small, or a folder, file or hub id of a V-JEPA 2 checkpoint, for
    example facebook/vjepa2-vitl-fpc64-256."""
    readout: str = "tubelet"
    """source: mean over the tokens of 8-frame windows; tubelet: 2 frames, tokens pooled to 4x4;
    last: the last tubelet of 8 frames; difference: tubelet and its change; tokens: not pooled.
    Settings follow a colon: last:grid=8,window=4,stride=2, or tubelet:zoom=.5,.5 for a second,
    sharp look at the centre of frames rendered at twice the size."""
    device: str = "cpu"
    """Where the encoder runs: cpu, cuda, cuda:1, or auto for cuda where there is one."""
    fit: Fit = DEFAULT_FIT
    """How pictures of another size or shape become the encoder's squares. squash: everything is
    seen, proportions change; crop: the middle square; pad: between black bars."""

    def load(self) -> tuple[Encoder, Readout]:
        """The encoder (loaded once in each process) and the readout.

        Raises:
            ForesightError: unknown readout, or the encoder cannot be loaded.
        """
        readout = parse_readout(self.readout)
        return _load(self.encoder, self.device, self.fit), readout

    def frame_size(self) -> int:
        """Height and width in pixels of the frames that encoder and readout want."""
        encoder, readout = self.load()
        return readout.frame_size(encoder)


@lru_cache(maxsize=2)
def _load(encoder: str, device: str, fit: Fit) -> Encoder:
    return load_encoder(encoder, device=device, fit=fit)
