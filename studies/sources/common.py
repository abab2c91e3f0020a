"""The form of a phase of the source documents, and words that their conclusions share."""

from __future__ import annotations

from dataclasses import dataclass

from studies.claims import Claim, Figure, Side

REACHER, POINT_MASS, CARTPOLE = "reacher-easy", "point_mass-easy", "cartpole-swingup"
TASKS = (REACHER, POINT_MASS, CARTPOLE)


@dataclass(frozen=True)
class Source:
    """A phase of the documents."""

    title: str
    did: str
    """What they did and took from it."""
    mended: str
    """What is done otherwise here, and why."""
    figures: tuple[Figure, ...]
    claims: tuple[Claim, ...]
    reads: tuple[str, ...] = ()
    """Result files of other experiments that decide about it; their entries have the file's name
    and a colon before them."""
    measured: bool = True
    """Whether it has a result file of its own."""

    @property
    def keys(self) -> list[str]:
        """The entries that its conclusions and figures ask for."""
        return [claim.key for claim in self.claims] + [figure.key for figure in self.figures]


def return_key(condition: str, rival: str, task: str = REACHER) -> str:
    """The summary key of a difference of returns, paired by seed."""
    return f"{condition} minus {rival}:return-difference/{task}"


def error_key(first: str, second: str, horizon: int, task: str = REACHER) -> str:
    """The summary key of a difference of prediction errors, paired by held-out episode."""
    return f"{first} minus {second}:error-difference@{horizon}/{task}"


def in_both_views(
    says: str, measured: str, key: str, side: Side, bound: float = 0.0
) -> tuple[Claim, ...]:
    """The claim in both views; ``key`` holds ``{view}`` where the view's name belongs."""
    return tuple(
        Claim(says, f"{measured}, {words}", key.replace("{view}", view), side, bound)
        for view, words in (("grid", "view grid"), ("mean", "mean vector as in the sources"))
    )


def figures_of_both(what: str, key: str, source: float | None) -> tuple[Figure, Figure]:
    """A figure answered in both views."""
    return (
        Figure(what, key.replace("{view}", "grid"), source),
        Figure(f"{what}, mean vector", key.replace("{view}", "mean"), source),
    )
