"""Batches for all members of an ensemble in one pass, each from its own data or order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from foresight.core.files import fingerprint
from foresight.data.windows import WindowLoader, window_starts
from foresight.training.experience import Experience

Data = Literal["shuffled", "bootstrap", "shared"]
Batch = dict[str, Tensor]


class MemberBatches:
    """Endless batches, numbered from 0; passes over the data follow one another.

    The order depends on the loader's seed, the pass and the member only, so training can start at
    any number and sees what it would have seen.

    A batch is valid until the next but one is asked for.

    Args:
        loader: windows of the training episodes.
        experience: which episodes those are.
        members: E.
        data: ``shuffled``: every member sees all windows, in its own order; ``bootstrap``: every
            member sees the windows of as many episodes, drawn with replacement (Efron; PETS),
            whole episodes because windows of one are alike; ``shared``: all see the same batch;
            None: no axis of members.
    """

    def __init__(
        self, loader: WindowLoader, experience: Experience, members: int, data: Data | None
    ) -> None:
        self.loader, self.members, self.data = loader, members, data
        self.starts = [loader.starts] * members
        if data == "bootstrap":
            self.starts = [self._resample(experience, member) for member in range(members)]
        self._orders: tuple[int, Tensor] | None = None
        self._buffers: list[Batch] = []

    def take(self, first: int, count: int) -> Iterator[Batch]:
        """Batches ``first`` to ``first + count - 1``.

        Yields:
            Arrays ``[E, B, window, ...]``; ``[B, window, ...]`` without an axis of members.
        """
        if self.data is None:
            yield from itertools.islice(self._plain(first), count)
            return
        size = self.loader.batch
        for number in range(first, first + count):
            turn, index = divmod(number, len(self.loader))
            starts = self.orders(turn)[:, index * size : (index + 1) * size]
            found = self.loader.gather(starts.flatten(), self._buffer(number))
            yield {name: value.unflatten(0, starts.shape) for name, value in found.items()}

    def orders(self, turn: int) -> Int64[Tensor, "E windows"]:
        """First rows of the windows of one pass, for each member."""
        if self._orders is None or self._orders[0] != turn:
            if self.data == "shared":
                orders = [self.loader.order(turn)] * self.members
            else:
                orders = [self._order(turn, member) for member in range(self.members)]
            self._orders = (turn, torch.stack(orders))
        return self._orders[1]

    def _plain(self, first: int) -> Iterator[Batch]:
        turn, index = divmod(first, len(self.loader))
        self.loader.restore({"epoch": turn, "batch": index})
        while True:
            yield from self.loader

    def _order(self, turn: int, member: int) -> Tensor:
        """A shuffle of the member's windows, cut or continued to the length of a pass."""
        own, generator = self.starts[member], self._generator(turn, member)
        pieces = []
        for _ in range(-(-len(self.loader.starts) // len(own))):
            pieces.append(own[torch.randperm(len(own), generator=generator)])
        return torch.cat(pieces)[: len(self.loader.starts)]

    def _resample(self, experience: Experience, member: int) -> Tensor:
        generator = self._generator(2**31, member)  # no pass has this number
        episodes = torch.tensor(experience.train)
        # Only episodes that hold a window: else a member might draw none at all.
        lengths = torch.from_numpy(np.diff(experience.offsets))[episodes]
        episodes = episodes[lengths >= self.loader.window]
        drawn = episodes[torch.randint(len(episodes), (len(episodes),), generator=generator)]
        starts = window_starts(experience.offsets, drawn.tolist(), self.loader.window)
        return torch.from_numpy(starts)

    def _generator(self, turn: int, member: int) -> torch.Generator:
        mixed = np.random.SeedSequence([self.loader.seed, turn, member]).generate_state(1)
        return torch.Generator().manual_seed(int(mixed[0]))

    def _buffer(self, number: int) -> Batch:
        if not self._buffers:
            rows = self.members * min(self.loader.batch, len(self.loader.starts))
            shape = (rows, self.loader.window)
            for _ in range(2):
                arrays = self.loader.arrays.items()
                self._buffers.append(
                    {name: array.new_empty((*shape, *array.shape[1:])) for name, array in arrays}
                )
        return self._buffers[number % 2]


def seed_of(*numbers: int) -> int:
    """One seed from several numbers, such as a training's and an epoch's."""
    return int(fingerprint(list(numbers)), 16) % 2**62


def epoch_rows(
    pool: Int64[Tensor, " rows"], count: int, generator: torch.Generator
) -> Iterator[Int64[Tensor, " n"]]:
    """Endless permutations of a pool, cut into pieces of ``count``."""
    left = torch.zeros(0, dtype=torch.long)
    while True:
        while len(left) < count:
            left = torch.cat([left, torch.randperm(len(pool), generator=generator)])
        yield left[:count]
        left = left[count:]
