"""Shuffled windows over episodes, read at memory speed; splits by episode."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from foresight.core.errors import ForesightError

# index_select copies a row with one memcpy and spreads rows over threads, but only for rows of
# less than torch's grain of 32,768 elements; larger ones go element by element.
GRAIN = 32768
BUFFERS = 2


class WindowLoader:
    """Batches of windows of consecutive steps; no window crosses from one episode into another.

    Iterating gives dicts of tensors ``[B, window, ...]``, one per array; the last batch of an
    epoch may be smaller. Order depends on (seed, epoch) only, whatever was read before.

    With ``reuse`` the batches are written into two sets of buffers in turn: **a batch is valid
    until the next but one is asked for**; clone what must live longer. Fresh memory for every
    batch would cost more (page faults) than the copying itself.

    An epoch that is read to its end moves ``epoch`` on by one. `state` and `restore` continue in
    the middle of an epoch with the batches that were left.

    Args:
        arrays: tensors, arrays or memory maps with one first axis N; they are not copied.
        offsets: int ``[episodes + 1]``, rows ``offsets[i]:offsets[i + 1]`` are episode i.
        episodes: the episodes to read; others give no window.
        window: steps per window; shorter episodes give none.
        batch: windows per batch.
        shuffle: a new permutation of all windows every epoch, else in order.
        seed: of the permutations.
        reuse: write into two sets of buffers in turn instead of fresh memory.

    Raises:
        ForesightError: lengths, episodes, window or batch do not fit.
    """

    def __init__(
        self,
        arrays: Mapping[str, Tensor | np.ndarray],
        offsets: Sequence[int] | np.ndarray,
        episodes: Sequence[int],
        window: int,
        batch: int,
        shuffle: bool = True,
        seed: int = 0,
        reuse: bool = True,
    ) -> None:
        offsets = np.asarray(offsets, dtype=np.int64)
        self.arrays = {name: as_tensor(array) for name, array in arrays.items()}
        _check(self.arrays, offsets, episodes, window, batch)
        self.window, self.batch, self.shuffle, self.seed, self.reuse = (
            window,
            batch,
            shuffle,
            seed,
            reuse,
        )
        self.starts = torch.from_numpy(window_starts(offsets, episodes, window))
        self.epoch = 0
        self._position = 0
        self._resume_at = 0
        self._buffers: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return math.ceil(len(self.starts) / self.batch)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        first, self._resume_at = self._resume_at, 0
        order = self.order(self.epoch)
        for index in range(first, len(self)):
            starts = order[index * self.batch : (index + 1) * self.batch]
            self._position = index + 1
            yield self.gather(starts, self._buffer(index))
        self.epoch += 1
        self._position = 0

    def order(self, epoch: int) -> Int64[Tensor, " windows"]:
        """First rows of all windows in the order of an epoch."""
        if not self.shuffle:
            return self.starts
        mixed = np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(mixed >> np.uint64(1)))
        return self.starts[torch.randperm(len(self.starts), generator=generator)]

    def set_epoch(self, epoch: int) -> None:
        """Make the next iteration the whole of this epoch."""
        self.restore({"epoch": epoch, "batch": 0})

    def state(self) -> dict[str, int]:
        """Where the loader is: the epoch and the batches of it already handed out."""
        return {"epoch": self.epoch, "batch": self._position}

    def restore(self, state: Mapping[str, int]) -> None:
        """Make the next iteration continue where `state` was taken."""
        self.epoch = state["epoch"]
        self._position = self._resume_at = state["batch"]

    def gather(
        self, starts: Int64[Tensor, " b"], out: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The windows that begin at the rows ``starts``, ``[B, window, ...]`` each."""
        count = len(starts)
        batch = {}
        for name, array in self.arrays.items():
            shape = (count, self.window, *array.shape[1:])
            target = array.new_empty(shape) if out is None else out[name][:count]
            _copy_windows(array, starts.to(array.device), self.window, target)
            batch[name] = target
        return batch

    def _buffer(self, index: int) -> dict[str, Tensor] | None:
        if not self.reuse:
            return None
        if not self._buffers:
            size = min(self.batch, len(self.starts))
            for _ in range(BUFFERS):
                self._buffers.append(
                    {
                        name: array.new_empty((size, self.window, *array.shape[1:]))
                        for name, array in self.arrays.items()
                    }
                )
        return self._buffers[index % BUFFERS]


def window_starts(
    offsets: np.ndarray, episodes: Sequence[int], window: int
) -> Int64[np.ndarray, " windows"]:
    """First rows of all windows of ``window`` steps inside the given episodes, in order."""
    chosen = np.asarray(episodes, dtype=np.int64)
    counts = np.maximum(offsets[chosen + 1] - offsets[chosen] - window + 1, 0)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows: np.ndarray = np.repeat(offsets[chosen], counts) + within
    return rows


def split_episodes(n: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Split episodes 0 … n-1 into (training, validation), each sorted and never empty.

    Args:
        n: number of episodes, at least 2.
        fraction: share for validation, between 0 and 1.
        seed: of the draw.

    Raises:
        ForesightError: too few episodes or a fraction out of range.
    """
    if n < 2 or not 0.0 < fraction < 1.0:
        raise ForesightError(
            f"{n} episodes cannot be split with {fraction} of them held out: use at least 2 "
            "episodes and a fraction between 0 and 1."
        )
    held_out = min(max(round(n * fraction), 1), n - 1)
    order = np.random.default_rng(seed).permutation(n)
    return sorted(order[held_out:].tolist()), sorted(order[:held_out].tolist())


def held_actions(taken: Float32[np.ndarray, "T A"], every: int) -> Float32[np.ndarray, "D A"]:
    """What was done between decisions, ``every`` steps apart: the mean over the steps of each."""
    first = np.arange(0, len(taken), every)
    lasts = np.diff([*first, len(taken)]).astype(np.float32)
    return np.asarray(np.add.reduceat(taken, first) / lasts[:, None], np.float32)


def _copy_windows(
    array: Shaped[Tensor, "n ..."],
    starts: Int64[Tensor, " b"],
    window: int,
    out: Shaped[Tensor, "b w ..."],
) -> None:
    if len(starts) == 0:
        return
    row = array[0].numel()
    pieces = _pieces(row)
    if window * row < GRAIN or pieces is None:
        # All windows as rows of one overlapping view: a window is one contiguous copy.
        view = array.as_strided(
            (len(array) - window + 1, window, *array.shape[1:]), (array.stride(0), *array.stride())
        )
        torch.index_select(view, 0, starts, out=out)
        return
    # Long windows: the same copy in pieces below the grain.
    steps = torch.arange(window * pieces, device=starts.device)
    rows = (starts[:, None] * pieces + steps).flatten()
    source = array.view(len(array) * pieces, row // pieces)
    torch.index_select(source, 0, rows, out=out.view(-1, row // pieces))


def _pieces(row: int) -> int | None:
    """In how many equal pieces below the grain a step's row can be cut; None if only in crumbs."""
    return next((k for k in range(1, 257) if row % k == 0 and row // k < GRAIN), None)


def as_tensor(array: Tensor | np.ndarray) -> Tensor:
    """A tensor of the same memory; a read-only one must not be written."""
    if isinstance(array, np.ndarray):
        with warnings.catch_warnings():
            # A read-only memory map: torch warns of writes, and none happen here.
            warnings.simplefilter("ignore", UserWarning)
            return torch.from_numpy(np.ascontiguousarray(array))
    return array.detach().contiguous()


def _check(
    arrays: dict[str, Tensor],
    offsets: np.ndarray,
    episodes: Sequence[int],
    window: int,
    batch: int,
) -> None:
    if window < 1 or batch < 1:
        raise ForesightError(
            f"A window of {window} steps and a batch of {batch} are refused: choose at least 1."
        )
    if not arrays:
        raise ForesightError("There is no array to read windows from: give at least one.")
    if offsets.ndim != 1 or len(offsets) < 1 or (np.diff(offsets, prepend=0) < 0).any():
        raise ForesightError("Episode offsets must be one ascending row that begins at 0.")
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != offsets[-1]:
            raise ForesightError(
                f"The array {name!r} has {tuple(array.shape)} values but the episodes have "
                f"{offsets[-1]} steps: features and episodes must be of one dataset."
            )
    wrong = [i for i in episodes if not 0 <= i < len(offsets) - 1]
    if wrong:
        raise ForesightError(
            f"There is no episode {wrong[0]}: the dataset holds 0 to {len(offsets) - 2}."
        )
