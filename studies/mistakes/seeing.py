"""Mistakes of the eyes: low-resolution pictures in training, and the mean over a clip's time."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from foresight.core.files import fingerprint
from foresight.perception.config import EncoderConfig
from foresight.perception.encoder import Encoder
from foresight.perception.preprocess import FILTER, PicturePreparation
from foresight.perception.readout import Readout
from foresight.policies.chunk.policy import ChunkFactory, ChunkPolicy


@dataclass(frozen=True)
class CoarsePreparation(PicturePreparation):
    """Pictures as a camera of half the size would have shown them, blown up again."""

    def __call__(self, frames: UInt8[np.ndarray, "t h w 3"]) -> UInt8[np.ndarray, "t s s 3"]:
        """Prepared pictures that have lost every second pixel's worth of detail."""
        return np.stack([self._coarse(frame) for frame in super().__call__(frames)])

    def fingerprint(self, height: int, width: int) -> str:
        """Never that of pictures as they are: features of these have caches of their own."""
        return fingerprint(["half and up again", super().fingerprint(height, width)])

    def _coarse(self, frame: UInt8[np.ndarray, "s s 3"]) -> UInt8[np.ndarray, "s s 3"]:
        half = max(1, self.size // 2)
        small = Image.fromarray(frame).resize((half, half), Image.Resampling.BOX)
        return np.asarray(small.resize((self.size, self.size), FILTER))


class CoarseEyes(EncoderConfig):
    """Eyes that prepare pictures so; whoever loads the checkpoint sees sharp ones."""

    def load(self) -> tuple[Encoder, Readout]:
        """The same encoder before pictures of half the detail."""
        loaded, readout = super().load()
        encoder = copy.copy(loaded)  # others go on with theirs
        encoder.prepare = CoarsePreparation(loaded.prepare.size, loaded.prepare.fit)
        return encoder, readout


@dataclass(frozen=True)
class TimeMean(Readout):
    """The cells of all tubelets of a window, averaged; only where ``pool`` is ``last``."""

    def apply(self, tokens: Float[Tensor, "b n h w d"]) -> Float[Tensor, "b p"]:
        """What stood where, whenever in the window."""
        return super().apply(tokens.mean(dim=1, keepdim=True))

    @property
    def fingerprint(self) -> str:
        """Never that of the last tubelet."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        return fingerprint(["mean over time", content])


class TimeMeanEyes(EncoderConfig):
    """Eyes with that readout, in training and acting alike."""

    def load(self) -> tuple[Encoder, Readout]:
        """The same encoder, and a readout that forgets when."""
        encoder, readout = super().load()
        return encoder, TimeMean(**{each.name: getattr(readout, each.name) for each in
                                    fields(readout)})  # fmt: skip


class TimeMeanPolicy(ChunkPolicy):
    """Acts with those eyes: with the right ones it would refuse to be loaded."""

    eyes_config = TimeMeanEyes


class TimeMeanFactory(ChunkFactory):
    """Makes it."""

    kind = TimeMeanPolicy
