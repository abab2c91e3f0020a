"""What an import says of the files it was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from foresight.data.hdf5.layout import Layout
from foresight.data.hdf5.options import ImportOptions

NAMED = 3
"""How many demonstrations are named before the rest is counted."""


def describe(
    layouts: Sequence[Layout],
    empty: Sequence[str],
    failed: Sequence[str],
    faults: Sequence[str],
    options: ImportOptions,
) -> Iterator[str]:
    """Lines on how files are read and on what is left out of them."""
    for _, group in groupby(layouts, key=_alike):
        same = list(group)
        first = same[0]
        name = first.path.name if len(same) == 1 else f"{len(same)} files from {first.path.name} on"
        yield (
            f"{name}: {first.kind}'s layout, {first.fps:g} steps a second, "
            f"cameras {', '.join(first.cameras) or 'none'}, {len(first.spec.state)} numbers of "
            f"state, {len(first.action)} of action"
        )
        yield f"  {_pairing(first)}"
        if first.cameras:
            yield f"  {_turning(first)}"
        if first.timing is not None and first.timing.observed != first.observed:
            yield f"  note: the file itself says otherwise ({_measured(first)})"
    if empty:
        yield f"left out, as too short for a step: {_listed(empty)}"
    if failed:
        kept = "left out" if options.successful else "kept (--successful leaves them out)"
        yield f"not successful and {kept}: {_listed(failed)}"
    for fault in faults:
        yield f"left out: {fault}"


def _alike(layout: Layout) -> tuple[object, ...]:
    return layout.spec, layout.kind, layout.observed, layout.turned, layout.timing is None


def _pairing(layout: Layout) -> str:
    told = f" ({_measured(layout)})" if layout.timing is not None else ""
    if layout.observed == "after":
        return (
            f"observations were recorded after their row's action{told}: each is paired with the "
            "action of the next row, and the first action is left out; --observed before keeps "
            "rows together"
        )
    return (
        f"observations were recorded before their row's action{told}, so rows stay together; "
        "--observed after pairs each with the action of the next row"
    )


def _measured(layout: Layout) -> str:
    timing = layout.timing
    if timing is None:
        return ""
    return (
        f"observed joints are {timing.same:.2g} rad from the simulator's state of their row and "
        f"{timing.later:.2g} rad from that of the next"
    )


def _turning(layout: Layout) -> str:
    if layout.turned:
        return "pictures lie upside down and are turned upright; --upside-down no leaves them"
    return "pictures are upright and stay so; --upside-down yes turns them"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
