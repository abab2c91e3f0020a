"""Keys and values of past frames, so that a rollout computes every frame once."""

from __future__ import annotations

import sys
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from foresight.core.errors import ForesightError


class KeysAndValues(Protocol):
    """What a predictor reads of the frames before those it is given.

    Attributes:
        frames: frames held so far.
        limit: frames that fit.
    """

    frames: int
    limit: int

    def append(
        self, layer: int, keys: Float[Tensor, "b h n d"], values: Float[Tensor, "b h n d"]
    ) -> tuple[Tensor, Tensor]:
        """Add the new frames' keys and values of one layer and return those of all frames."""
        ...

    def advance(self, frames: int) -> None:
        """Count the frames that `append` added in every layer."""
        ...


class GrowingCache:
    """Keys and values through which gradients flow, so that a rollout can be learned from.

    Each append makes new tensors, which is what `FrameCache` is there to avoid.
    """

    def __init__(self) -> None:
        self.frames, self.limit = 0, sys.maxsize
        self._held: dict[int, tuple[Tensor, Tensor]] = {}

    def append(
        self, layer: int, keys: Float[Tensor, "b h n d"], values: Float[Tensor, "b h n d"]
    ) -> tuple[Tensor, Tensor]:
        """As `KeysAndValues`."""
        if layer in self._held:
            before = self._held[layer]
            keys = torch.cat([before[0], keys], dim=2)
            values = torch.cat([before[1], values], dim=2)
        self._held[layer] = (keys, values)
        return keys, values

    def advance(self, frames: int) -> None:
        """As `KeysAndValues`."""
        self.frames += frames


class FrameCache:
    """Keys and values of whole frames in every layer, for a batch of rollouts.

    A frame's keys never change once it is there, because attention is causal over frames: what is
    read from here is what a run over all frames would compute.

    A cache can be forked: each of its rollouts becomes ``copies`` rollouts that read the common
    past from one place in memory and write only what is new to each. No gradient flows through it.

    Attributes:
        batch: number of rollouts.
        frames: frames held so far, the common past included.
        limit: frames that fit, the common past included.
        width: tokens per frame, condition tokens included.
    """

    def __init__(
        self,
        layers: int,
        batch: int,
        heads: int,
        head_dim: int,
        width: int,
        limit: int,
        device: torch.device,
        dtype: torch.dtype,
        past: FrameCache | None = None,
        copies: int = 1,
    ) -> None:
        self.past = past
        self.copies = copies
        self.past_frames: int = past.frames if past is not None else 0
        self.batch, self.width, self.limit = batch, width, limit
        self.frames: int = self.past_frames
        own = (limit - self.past_frames) * width
        self.store = torch.empty(
            (layers, 2, batch, heads, own, head_dim), device=device, dtype=dtype
        )

    def fork(self, copies: int, frames: int | None = None) -> FrameCache:
        """A cache of ``batch * copies`` rollouts that share what is here now.

        Rollout ``b`` becomes rollouts ``b * copies .. (b + 1) * copies - 1``. This cache may go on
        afterwards without changing the fork.

        Args:
            copies: S, at least 1.
            frames: how many new frames the fork is to take; None: as many as still fit here.

        Raises:
            ForesightError: fewer than one copy, or more frames than fit.
        """
        free = self.limit - self.frames
        wanted = free if frames is None else frames
        if copies < 1 or not 0 <= wanted <= free:
            raise ForesightError(
                f"A cache with room for {free} more frames cannot be forked into {copies} copies "
                f"with room for {wanted}: ask for at least 1 copy and at most {free} frames."
            )
        layers, _, _, heads, _, head_dim = self.store.shape
        return FrameCache(
            layers,
            self.batch * copies,
            heads,
            head_dim,
            self.width,
            self.frames + wanted,
            self.store.device,
            self.store.dtype,
            past=self if self.frames else None,
            copies=copies,
        )

    def append(
        self, layer: int, keys: Float[Tensor, "b h n d"], values: Float[Tensor, "b h n d"]
    ) -> tuple[Tensor, Tensor]:
        """Store the new frames' keys and values of one layer and return those of all frames.

        The count of frames goes up only with `advance`, after the last layer.

        Args:
            layer: index of the layer.
            keys: ``[B, heads, new frames * width, head_dim]``, already rotated.
            values: the same shape.

        Returns:
            Keys and values ``[B, heads, (frames + new frames) * width, head_dim]``.
        """
        start = (self.frames - self.past_frames) * self.width
        stop = start + keys.shape[2]
        self.store[layer, 0, :, :, start:stop] = keys.detach()
        self.store[layer, 1, :, :, start:stop] = values.detach()
        return self._read(layer, 0, stop), self._read(layer, 1, stop)

    def advance(self, frames: int) -> None:
        """Count the frames that `append` stored in every layer."""
        self.frames += frames

    def _read(self, layer: int, which: int, stop: int) -> Tensor:
        own = self.store[layer, which, :, :, :stop]
        if self.past is None:
            return own
        # Held once for all copies; written out only while one layer attends to it.
        shared = self.past._read(layer, which, self._past_tokens())
        shared = shared[:, None].expand(-1, self.copies, -1, -1, -1)
        return torch.cat([shared.reshape(self.batch, *shared.shape[2:]), own], dim=2)

    def _past_tokens(self) -> int:
        assert self.past is not None
        return (self.past_frames - self.past.past_frames) * self.width
