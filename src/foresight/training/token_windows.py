"""Windows of cached tokens, with the actions and states of their frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from foresight.core.errors import ForesightError
from foresight.data.windows import WindowLoader
from foresight.perception.ac_data import ACEpisodes
from foresight.training.loop import Batch, FitConfig, Record

MOST_WINDOWS = 64
"""Held-out windows that are looked at."""


class TokenWindows(ABC):
    """Windows of kept frames, of training episodes and of held-out ones.

    Args:
        data: the cache, actions and states.
        split: training and held-out episodes.
        frames: of a window.
        fit: batch and device.
        apart: how far apart frames are, for the sentence.
        mend: what to do where no episode is long enough, for the sentence.

    Attributes:
        train: windows of the training episodes.
        test: those of held-out ones.

    Raises:
        ForesightError: no training or no held-out episode is long enough.
    """

    def __init__(
        self,
        data: ACEpisodes,
        split: tuple[Sequence[int], Sequence[int]],
        frames: int,
        fit: FitConfig,
        apart: str,
        mend: str,
    ) -> None:
        self._fit = fit
        arrays: dict[str, Tensor | np.ndarray] = {
            "tokens": data.cache.array,
            "action": data.actions,
            "state": data.states,
        }
        offsets = data.cache.offsets
        self.train, self.test = (
            WindowLoader(arrays, offsets, some, frames, fit.batch, shuffle=False, reuse=False)
            for some in split
        )
        for name, found in (("training", self.train), ("held-out", self.test)):
            if not len(found):
                raise ForesightError(f"No {name} episode has {frames} frames, {apart}: {mend}.")

    @abstractmethod
    def held_out(self, starts: Tensor) -> Batch:
        """The held-out windows that begin at these rows, as they are judged."""

    def judged(self, judge: Callable[[Batch], Record]) -> Record:
        """Means over held-out windows, evenly spread."""
        device, starts = self._fit.device, self.test.starts
        some = starts[:: -(-len(starts) // MOST_WINDOWS)]
        sums: Record = {}
        for part in some.split(self._fit.batch):
            batch = {k: v.to(device) for k, v in self.held_out(part).items()}
            for name, value in judge(batch).items():
                sums[name] = sums.get(name, 0.0) + value * len(part) / len(some)
        return {f"validation/{name}": value for name, value in sums.items()}
