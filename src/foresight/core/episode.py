"""One episode, as it was lived: what is stored, replayed, learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped, UInt8


@dataclass(frozen=True)
class Episode:
    """T decisions: ``action[t]`` is taken at observation ``t`` and brings ``reward[t]``.

    The observation after the last action is not part of it: a reader that needs successors uses
    the first T - 1 of them, and ``terminated`` says whether there was one worth having.

    Attributes:
        images: camera name to upright RGB pictures, uint8 ``[T, H, W, 3]``.
        state: float32 ``[T, P]``; P may be 0.
        action: float32 ``[T, A]``, in the environment's units, as they were executed.
        reward: float32 ``[T]``, or None where there are no rewards (demonstrations).
        terminated: the task itself ended the episode: nothing can be earned after it. An episode
            that merely ran out of time is not terminated.
        task: what was to be done, in words or as an id.
        fps: decisions for each second.
        success: whether the task was done, where somebody can tell.
        columns: further numbers of each step, ``[T, ...]`` under their names on disk, for example
            ``sim.state`` (the true state of a simulator), ``action.expert`` (what an expert would
            have done; NaN where nobody asked), ``action.issued`` (what was asked for, where a delay
            changed it).
        info: plain values of the whole episode: seed, policy, environment, protocol.
    """

    images: Mapping[str, UInt8[np.ndarray, "T H W 3"]]
    state: Float32[np.ndarray, "T P"]
    action: Float32[np.ndarray, "T A"]
    reward: Float32[np.ndarray, " T"] | None
    terminated: bool
    task: str
    fps: float
    success: bool | None = None
    columns: Mapping[str, Shaped[np.ndarray, "T ..."]] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        """T, the number of decisions."""
        return len(self.action)

    @property
    def return_(self) -> float:
        """The sum of rewards; 0 where there are none."""
        return 0.0 if self.reward is None else float(self.reward.sum(dtype=np.float64))
