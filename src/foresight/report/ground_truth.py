"""The page of recorded actions that were executed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from foresight.evaluation.results import Result
from foresight.report.page import Block, LinkedVideo, Plot, Section, TableBlock, write_page
from foresight.report.plots import FREE_COLOURS, figure_of, plot_style, svg_of
from foresight.report.tables import Cell, Table, number, provenance_table

LABELS = {
    "state-deviation": "robot's numbers",
    "sim-state-deviation": "simulator's state",
    "picture-difference": "pictures, of 255",
}
NOTE = (
    "Largest absolute differences of any number at any step, in its units; of pictures the mean "
    "over a picture. A replay from the same start that repeats the episode has zeros."
)


@dataclass(frozen=True)
class Replayed:
    """An episode beside what its actions did when they were executed again.

    Attributes:
        episode: its number in the dataset.
        task: what was to be done.
        recorded: steps that were recorded.
        replayed: steps until the replay ended.
        success: as recorded, None where nobody could tell.
        success_again: of the replay.
        by_time: name of a deviation to its value at each step, ``[T]``.
    """

    episode: int
    task: str
    recorded: int
    replayed: int
    success: bool | None
    success_again: bool | None
    by_time: dict[str, Float64[np.ndarray, " T"]]


def replay_table(episodes: Sequence[Replayed]) -> Table:
    """One line for each episode."""
    names = [name for name in LABELS if any(name in each.by_time for each in episodes)]
    rows = []
    for each in episodes:
        agree = each.success == each.success_again
        tone = "" if None in (each.success, each.success_again) else "good" if agree else "bad"
        cells = [
            Cell(str(each.episode)),
            Cell(each.task),
            Cell(str(each.recorded)),
            Cell(str(each.replayed), "" if each.recorded == each.replayed else "bad"),
            *(_largest(each.by_time.get(name)) for name in names),
            Cell(f"{_told(each.success)}, {_told(each.success_again)}", tone),
        ]
        rows.append(cells)
    titles = (LABELS[name] for name in names)
    columns = ("episode", "task", "steps", "replayed", *titles, "recorded, replayed")
    return Table("Deviations", columns, rows, labels=2, note=NOTE)


def write_replay_page(path: Path, result: Result, episodes: Sequence[Replayed]) -> None:
    """Write the page; its films lie beside it."""
    sections = [Section("Deviations", [TableBlock(replay_table(episodes))])]
    for each in episodes:
        blocks: list[Block] = [
            LinkedVideo(
                f"replay-{each.episode}.mp4", "Of each camera: recorded, and executed again."
            )
        ]
        if each.by_time:
            blocks.append(Plot(deviation_plot(each), "Deviation at each step."))
        title = f"Episode {each.episode}" + (f": {each.task}" if each.task else "")
        sections.append(Section(title, blocks))
    sections.append(Section("Provenance", [TableBlock(provenance_table(result))]))
    write_page(path, "Recorded actions, executed again", sections, "From the same starts.")


def deviation_plot(found: Replayed) -> str:
    """Deviations over time, a panel each; an ``<svg>`` element."""
    with plot_style():
        figure = figure_of(3.1 * len(found.by_time), 2.2)
        for place, (name, values) in enumerate(found.by_time.items(), start=1):
            axes = figure.add_subplot(1, len(found.by_time), place)
            axes.plot(values, color=FREE_COLOURS[0])
            axes.set_ylim(bottom=0)
            axes.set_title(LABELS[name])
            axes.set_xlabel("step")
        return svg_of(figure)


def _largest(values: np.ndarray | None) -> Cell:
    if values is None:
        return Cell("–", "muted")
    return Cell(f"{number(values.max())} at {values.argmax()}" if values.max() else "0")


def _told(success: bool | None) -> str:
    return {True: "solved", False: "failed", None: "unknown"}[success]
