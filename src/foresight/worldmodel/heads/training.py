"""What the heads on frozen latents share: the data, the draw of pairs, the loop of updates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from foresight.core.errors import ForesightError

Record = dict[str, float]


@dataclass(frozen=True)
class Latents:
    """Frozen latent states of all steps, and how they split into episodes."""

    z: Float[Tensor, "N Z"]
    offsets: np.ndarray
    """`[episodes + 1]`, where each episode starts."""
    train: Sequence[int]
    """Episodes to learn from."""
    validation: Sequence[int]
    """Episodes never learned from."""
    actions: Float[Tensor, "N A"] | None = None
    """What was done in each step."""
    rewards: Float[Tensor, " N"] | None = None
    """What that gave."""


@dataclass(frozen=True)
class HeadTraining:
    """How long and how fast a head learns."""

    updates: int = 3000
    """Updates."""
    batch: int = 512
    """Rows per update."""
    lr: float = 1e-3
    """Peak learning rate; it falls to zero along a cosine."""
    weight_decay: float = 1e-4
    """AdamW's decoupled weight decay."""
    clip: float = 10.0
    """Largest gradient norm."""
    checks: int = 10
    """How often the held-out loss is looked at; the weights with the lowest one are kept."""
    seed: int = 0
    """Of the draws."""


def train_head(
    head: nn.Module,
    loss: Callable[[torch.Generator], Tensor],
    validate: Callable[[], float],
    config: HeadTraining,
    after: Callable[[], None] = lambda: None,
    keep: Literal["best", "last"] = "best",
) -> list[Record]:
    """Train in place and leave the head at its lowest held-out loss, in eval mode.

    Where targets move with the training, as those of a value do, losses of different moments
    cannot be compared: ``keep`` takes the last weights then.

    Args:
        head: trained.
        loss: draws a batch with the generator and gives its loss.
        validate: held-out loss, called in eval mode without gradient.
        config: length and speed.
        after: called after every update.
        keep: best or last.

    Returns:
        One record for each check: ``update``, ``train``, ``validation``.

    Raises:
        ForesightError: the loss is not finite.
    """
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    generator = torch.Generator().manual_seed(config.seed)
    every = max(1, config.updates // max(1, config.checks))
    records: list[Record] = []
    best, kept = math.inf, head.state_dict()
    total = count = 0.0
    for update in range(1, config.updates + 1):
        head.train()
        optimizer.param_groups[0]["lr"] = _cosine(config.lr, (update - 1) / config.updates)
        value = loss(generator)
        if not torch.isfinite(value):
            raise ForesightError(
                f"The loss of {type(head).__name__} became {float(value)} at update {update}: "
                f"lower the learning rate (now {config.lr}) or check the latent states."
            )
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(head.parameters(), config.clip)
        optimizer.step()
        after()
        total, count = total + float(value.detach()), count + 1
        if update % every == 0 or update == config.updates:
            head.eval()
            with torch.no_grad():
                held_out = validate()
            records.append(
                {"update": float(update), "train": total / count, "validation": held_out}
            )
            total = count = 0.0
            if held_out < best or keep == "last":
                best = held_out
                kept = {name: v.detach().clone() for name, v in head.state_dict().items()}
    head.load_state_dict(kept)
    head.eval()
    return records


def _cosine(peak: float, done: float) -> float:
    return peak * 0.5 * (1 + math.cos(math.pi * done))


def episode_rows(offsets: np.ndarray, episodes: Sequence[int]) -> Int64[Tensor, " n"]:
    """The rows of all steps of some episodes."""
    return torch.cat([torch.arange(int(offsets[e]), int(offsets[e + 1])) for e in episodes])


class Pairs:
    """Draws pairs of steps from given episodes: near ones of one episode, far ones of two.

    Args:
        offsets: ``[episodes + 1]``.
        episodes: where to draw from; those of one step are left out.
        longest: largest gap in steps.

    Raises:
        ForesightError: no episode has two steps, or the gap is below 1.
    """

    def __init__(self, offsets: np.ndarray, episodes: Sequence[int], longest: int) -> None:
        chosen = [e for e in episodes if offsets[e + 1] - offsets[e] > 1]
        if not chosen or longest < 1:
            raise ForesightError(
                f"Pairs of steps up to {longest} apart cannot be drawn from {len(chosen)} episodes "
                "of two steps or more: collect longer episodes and allow a gap of at least 1."
            )
        self.starts = torch.tensor([int(offsets[e]) for e in chosen])
        self.ends = torch.tensor([int(offsets[e + 1]) for e in chosen])
        self.longest = longest

    def near(
        self, count: int, generator: torch.Generator
    ) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Int64[Tensor, " n"]]:
        """Earlier row, gap and episode number: the later row is ``earlier + gap``.

        Gaps are even over 1 … ``longest`` as far as the episode reaches.
        """
        episode = torch.randint(len(self.starts), (count,), generator=generator)
        start, end = self.starts[episode], self.ends[episode]
        most = (end - start - 1).clamp(max=self.longest)
        gap = 1 + (torch.rand(count, generator=generator) * most).long()
        earlier = start + (torch.rand(count, generator=generator) * (end - start - gap)).long()
        return earlier, gap, episode

    def far(self, episode: Int64[Tensor, " n"], generator: torch.Generator) -> Int64[Tensor, " n"]:
        """For each episode number a row of another episode.

        Raises:
            ForesightError: there is only one episode.
        """
        if len(self.starts) < 2:
            raise ForesightError(
                "Far pairs need two episodes of two steps or more and there is one: collect more."
            )
        away = torch.randint(1, len(self.starts), episode.shape, generator=generator)
        other = (episode + away) % len(self.starts)
        start, end = self.starts[other], self.ends[other]
        return start + (torch.rand(len(other), generator=generator) * (end - start)).long()
