"""Does a conclusion survive? Decided by an interval, never by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foresight.core.errors import ForesightError
from foresight.evaluation.statistics import NOTHING, Summary

Outcome = Literal["survives", "fails", "open"]
Side = Literal["above", "below", "not above", "not below"]
SIDES = ("above", "below", "not above", "not below")


@dataclass(frozen=True)
class Figure:
    """A number of the source documents, and the entry of a result that answers it."""

    what: str
    """In words, with the unit."""
    key: str
    """Of the summary, for example ``grid:cem/reacher-easy``."""
    source: float | None = None
    """What the documents report; None where they have no such number."""


@dataclass(frozen=True)
class Claim:
    """A conclusion, and the interval that decides it.

    ``above`` survives where the whole 95 % interval lies above the bound, fails where the whole of
    it lies at or below, and is open where the bound lies inside. ``not above`` is its opposite
    (survives at or below the bound, fails above), for conclusions that something does not work.
    ``below`` and ``not below`` mirror them. Differences from the bound below `NOTHING` are none.

    Raises:
        ForesightError: an unknown side.
    """

    says: str
    """The conclusion, as close to the documents' words as a short sentence allows."""
    measured: str
    """What the interval is of, in words."""
    key: str
    """Of the summary."""
    side: Side = "above"
    bound: float = 0.0

    def __post_init__(self) -> None:
        if self.side not in SIDES:
            raise ForesightError(
                f"A claim cannot lie {self.side!r} of its bound: choose one of {', '.join(SIDES)}."
            )


@dataclass(frozen=True)
class Verdict:
    """What an interval says about a claim."""

    claim: Claim
    outcome: Outcome
    mean: float
    low: float
    high: float
    n: int

    @property
    def words(self) -> str:
        """The verdict in a few words."""
        return {
            "survives": "survives",
            "fails": "does not survive",
            "open": "stays open, the interval holds the bound",
        }[self.outcome]


def judge(claim: Claim, summary: Summary) -> Verdict | None:
    """Hold a claim against a summary; None where the summary lacks its entry.

    An entry of a single measurement (n = 1) has no interval and leaves every claim open.
    """
    entry = summary.get(claim.key)
    if entry is None:
        return None
    low, high, n = entry["low"], entry["high"], int(entry["n"])
    outcome = _outcome(claim, low, high) if n > 1 else "open"
    return Verdict(claim, outcome, entry["mean"], low, high, n)


def judge_all(claims: Sequence[Claim], summary: Summary) -> list[Verdict]:
    """The verdicts of all claims that the summary can decide about."""
    return [verdict for claim in claims if (verdict := judge(claim, summary)) is not None]


def _outcome(claim: Claim, low: float, high: float) -> Outcome:
    if claim.side in ("below", "not below"):  # the mirror image
        low, high, bound = -high, -low, -claim.bound
    else:
        bound = claim.bound
    if low > bound + NOTHING:
        found: Outcome = "survives"
    elif high <= bound + NOTHING:
        found = "fails"
    else:
        return "open"
    if claim.side.startswith("not"):
        return "fails" if found == "survives" else "survives"
    return found
