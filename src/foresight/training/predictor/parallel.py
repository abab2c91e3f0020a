"""Several processes that learn together, as ``torchrun`` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from foresight.core.errors import ForesightError

PATIENCE = timedelta(days=1)
"""The others wait while the first one encodes a dataset."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is."""

    rank: int = 0
    world: int = 1
    local: int = 0
    """Among those of this machine."""

    @property
    def first(self) -> bool:
        """Whether it keeps the files."""
        return self.rank == 0

    def device(self, device: str) -> str:
        """Its own GPU where ``cuda`` is meant, else what was asked for."""
        return f"cuda:{self.local}" if device == "cuda" and self.world > 1 else device

    def share(self, count: int) -> slice:
        """Its part of a batch of ``count``.

        Raises:
            ForesightError: they cannot be shared equally, so that a mean of means were no mean.
        """
        if count % self.world:
            raise ForesightError(
                f"A batch of {count} cannot be shared equally by {self.world} processes: choose a "
                "multiple of them."
            )
        part = count // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.world > 1:
            distributed.barrier()


@contextmanager
def together(device: str) -> Iterator[Ranks]:
    """This process among those that ``torchrun`` started; alone where it did not.

    Args:
        device: where they learn; GPUs talk through NCCL, processors through gloo.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    ranks = Ranks(int(os.environ["RANK"]), world, int(os.environ.get("LOCAL_RANK", "0")))
    cuda = device.startswith("cuda")
    if cuda:
        torch.cuda.set_device(ranks.local)
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield ranks
    finally:
        distributed.destroy_process_group()


def shared(module: nn.Module, ranks: Ranks) -> nn.Module:
    """The module whose gradients are the mean over all processes; itself where there is one."""
    if ranks.world == 1:
        return module
    return DistributedDataParallel(module, find_unused_parameters=False, broadcast_buffers=False)
