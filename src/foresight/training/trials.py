"""How far to trust the action prior: what searches earn that may leave it, tried in episodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from foresight.core.episode import Episode
from foresight.planning.config import ALONE

SHARES: tuple[float | None, ...] = (0.0, 0.04, 0.2, None)
"""Prior weights that are tried, in units of the spread of values; None is the prior alone."""
FINALISTS = 2
"""Of them, so many are tried again."""
PREFIX = "trial:"


class TrustTrials:
    """Who tries what in which episode, and what that earned.

    A trial is an episode of a training seed without noise on its actions. While learning, in every
    so many rounds half of the episodes are trials of one trust each, in turn: their returns show
    along the learning curve what search adds. When all is learned, each trust is tried in as many
    rounds as `rounds` says, then the two that earned most in these once more (sequential halving;
    Karnin et al. 2013), and the better one stays with the model.

    Args:
        parallel: episodes of a round.
        every: rounds between two with trials while learning; 0 for none.
        final: episodes of each trust when all is learned; 0 for none.
    """

    def __init__(self, parallel: int, every: int, final: int) -> None:
        self.parallel, self.every, self.final = parallel, every, final
        self.returns: list[list[float]] = [[] for _ in SHARES]

    @property
    def rounds(self) -> tuple[int, int]:
        """Final rounds of all trusts, and of the finalists."""
        return (
            -(-self.final * len(SHARES) // self.parallel),
            -(-self.final * FINALISTS // self.parallel),
        )

    def while_learning(self, own: int) -> list[int | None]:
        """The trust that each scene tries in an agent's own round ``own`` = 0, 1, …; None explores.

        Empty where nobody tries anything.
        """
        if not self.every or (own + 1) % self.every:
            return []
        count = max(1, self.parallel // 2)
        first = own // self.every * count
        tried: list[int | None] = [(first + i) % len(SHARES) for i in range(count)]
        return tried + [None] * (self.parallel - count)

    def at_the_end(self, number: int) -> list[int | None]:
        """The trust that each scene tries in final round ``number`` = 0, 1, …"""
        among = list(range(len(SHARES)))
        if number >= self.rounds[0]:
            among, number = self.ranked()[:FINALISTS], number - self.rounds[0]
        return [among[(number * self.parallel + i) % len(among)] for i in range(self.parallel)]

    def add(self, tried: Sequence[int | None], episodes: Sequence[Episode]) -> None:
        """Count what final trials earned."""
        for choice, episode in zip(tried, episodes, strict=True):
            if choice is not None:
                self.returns[choice].append(episode.return_)

    def ranked(self) -> list[int]:
        """Trusts by their mean return, the best first; of equal ones that which trusts more."""
        means = [float(np.mean(each)) if each else -np.inf for each in self.returns]
        return sorted(range(len(SHARES)), key=lambda i: (means[i], i), reverse=True)


def name_of(choice: int | None) -> str:
    """Who acts, as episodes and logs call it: ``trial:0.04``, ``trial:alone``, or ``planner``."""
    if choice is None:
        return "planner"
    share = SHARES[choice]
    return PREFIX + ("alone" if share is None else f"{share:g}")


def weights_of(tried: Sequence[int | None], spread: float, usual: float) -> Float[Tensor, " B"]:
    """Prior weights of scenes, in the planner's units.

    Args:
        tried: indices of `SHARES`, None for scenes that explore.
        spread: of the values, in these units.
        usual: of scenes that explore.
    """
    return torch.tensor([usual if each is None else weight_of(each, spread) for each in tried])


def weight_of(choice: int, spread: float) -> float:
    """The prior weight of one trust."""
    share = SHARES[choice]
    return ALONE if share is None else share * spread


def exploring(tried: Sequence[int | None]) -> Bool[Tensor, " B"]:
    """Which scenes act with noise."""
    return torch.tensor([each is None for each in tried])


def earned(episodes: Sequence[Episode]) -> dict[str, float]:
    """Mean return of the trials among a round's episodes, ``trial/<trust>``."""
    found: dict[str, list[float]] = {}
    for episode in episodes:
        policy = str(episode.info["policy"])
        if policy.startswith(PREFIX):
            name = policy.replace(":", "/")
            found.setdefault(name, []).append(episode.return_)
    return {name: float(np.mean(returns)) for name, returns in found.items()}
