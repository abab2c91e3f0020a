"""Short clips of a dataset, several steps between their frames, straight from pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint
from foresight.core.progress import track
from foresight.data.cache import FeatureCache
from foresight.data.clip import fit_frames
from foresight.data.dataset import Dataset
from foresight.data.windows import window_starts
from foresight.training.batches import epoch_rows, seed_of
from foresight.training.loop import Batch


def read_pixels(dataset: Dataset, camera: str, size: int, root: Path | str) -> FeatureCache:
    """A camera's frames at the model's size, uncompressed on disk; made once, resumable.

    Args:
        dataset: the episodes.
        camera: its name.
        size: pixels of a side; other pictures are scaled and cropped in the middle.
        root: folder of all caches.

    Raises:
        ForesightError: a damaged dataset or a full disk.
    """
    cache = FeatureCache.open_or_create(
        root,
        dataset.fingerprint,
        "pixels",
        fingerprint(["pixels", size]),
        dataset.lengths,
        (size, size, 3),
        "uint8",
        camera,
        "",
    )
    done = cache.done
    for index in track([i for i in range(len(dataset)) if not done[i]], "read frames"):
        cache.write_episode(index, fit_frames(dataset.frames(index, camera), size))
    return cache


@dataclass(frozen=True)
class Clips:
    """Windows of ``frames`` pictures that lie ``every`` steps apart, and the actions between them.

    Attributes:
        pixels: ``[N, H, W, 3]`` uint8 of all steps of all episodes.
        actions: ``[N, A]`` in [-1, 1].
        offsets: ``[episodes + 1]``, where each episode begins.
        frames: of a clip.
        every: steps between two of them.
    """

    pixels: np.ndarray
    actions: Float[Tensor, "N A"]
    offsets: np.ndarray
    frames: int
    every: int

    def starts(self, episodes: Sequence[int]) -> Int64[Tensor, " n"]:
        """First steps of all clips within some episodes.

        Raises:
            ForesightError: none of them is long enough.
        """
        window = (self.frames - 1) * self.every + 1
        found = window_starts(self.offsets, episodes, window)
        if not len(found):
            longest = max((int(np.diff(self.offsets)[i]) for i in episodes), default=0)
            raise ForesightError(
                f"No episode has the {window} steps of a clip, the longest has {longest}: record "
                "longer ones, or take fewer steps between frames (--lewm.every)."
            )
        return torch.from_numpy(found)

    def gather(self, starts: Int64[Tensor, " B"]) -> Batch:
        """The clips that begin at these steps.

        Returns:
            ``frames [B, T, H, W, 3]`` uint8 and ``blocks [B, T-1, W]``: all actions between two
            frames, one after the other.
        """
        rows = starts[:, None] + self.every * torch.arange(self.frames)
        taken = starts[:, None] + torch.arange((self.frames - 1) * self.every)
        blocks = self.actions[taken].reshape(len(starts), self.frames - 1, -1)
        return {"frames": torch.from_numpy(self.pixels[rows.numpy()]), "blocks": blocks}

    def epoch(
        self, starts: Int64[Tensor, " n"], batch: int, steps: int, seed: int, epoch: int
    ) -> Iterator[Batch]:
        """So many batches in an order that follows from seed and epoch alone.

        All clips come before one comes again. Torch's generator is set before each batch, too: what
        an update draws does not depend on what was drawn before it, so a training that was killed
        goes on as if it had not been.
        """
        generator = torch.Generator().manual_seed(seed_of(seed, epoch))
        pieces = epoch_rows(starts, batch, generator)
        for step in range(steps):
            some = starts[next(pieces)]
            torch.manual_seed(seed_of(seed, epoch, step))
            yield self.gather(some)
