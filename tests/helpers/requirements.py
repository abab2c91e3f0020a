"""What distributions need, as their metadata says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import metadata

from packaging.requirements import Requirement


def closure(names: Iterable[str]) -> Iterator[metadata.Distribution]:
    """The distributions that pip would install for these requirements, as they are here."""
    todo, seen = [Requirement(name) for name in names], set()
    while todo:
        wanted = todo.pop()
        if (wanted.name, *wanted.extras) in seen:
            continue
        seen.add((wanted.name, *wanted.extras))
        try:
            found = metadata.distribution(wanted.name)
        except metadata.PackageNotFoundError:
            continue  # for another platform, or vendored
        yield found
        for line in found.requires or []:
            further = Requirement(line)
            extras = ["", *wanted.extras]
            if further.marker is None or any(further.marker.evaluate({"extra": e}) for e in extras):
                todo.append(further)


def plain(name: str) -> str:
    """One spelling for the name of a distribution."""
    return name.lower().replace("_", "-")
