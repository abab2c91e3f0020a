"""``foresight reproduce``: run studies, save what they measured and print it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from foresight.evaluation.results import Result
from foresight.report.tables import Cell, Table, print_result, to_rich
from studies.registry import LIST, STUDIES, Request, chosen


def main(request: Request) -> None:
    """Run what is asked for, one study after the other."""
    if request.name == LIST:
        Console().print(to_rich(listing()))
        return
    for name in chosen(request):
        reproduce(replace(request, name=name))


def listing() -> Table:
    """All studies with what they are about."""
    rows = [
        [Cell(study.name), Cell(study.about), Cell(", ".join(study.presets), "muted")]
        for study in STUDIES.values()
    ]
    note = "`foresight reproduce NAME` runs one, `foresight reproduce all` every phase."
    return Table("Studies", ("name", "what", "presets"), rows, labels=3, note=note)


def reproduce(request: Request) -> None:
    """Run one study; it is saved where it has a file of its own."""
    study = request.study
    module = study.load()
    if not study.writes:
        module.reproduce(request)  # prints what other files say
        return
    result: Result = module.reproduce(request)
    target = request.target
    result.save(target)
    if hasattr(module, "show"):
        module.show(result)
    else:
        print_result(result)
    _print_sources(request.name, target.parent, result)
    for note in result.config.get("notes", []):
        print(note)
    print(f"result: {target}")


def _print_sources(name: str, folder: Path, result: Result) -> None:
    """What the source documents report, and whether their conclusions survive."""
    from studies.findings import print_phase
    from studies.sources import SOURCES

    source = result.config.get("source")
    if name in SOURCES:
        print_phase(name, folder, result)
    elif source:
        print("the source documents: " + ", ".join(f"{k} {v:g}" for k, v in source.items()))
