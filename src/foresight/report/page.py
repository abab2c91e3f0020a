"""The HTML page of a run: one file that needs nothing else, neither network nor server."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from foresight.core.files import write_text
from foresight.core.metrics import Row
from foresight.evaluation.results import Result
from foresight.report.curves import learning_curves, reader_metrics
from foresight.report.plots import (
    error_per_horizon,
    horizon_series,
    return_bars,
)
from foresight.report.tables import (
    Table,
    config_table,
    episode_table,
    measurement_table,
    overview_table,
    provenance_table,
)

CURVES = (
    "Held-out episodes (validation) and returns say what was learned, losses only how the training "
    "went."
)


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = field(default="text", init=False)


@dataclass(frozen=True)
class Plot:
    """An ``<svg>`` element from :mod:`foresight.report.plots` with its caption."""

    svg: str
    caption: str = ""
    kind: str = field(default="plot", init=False)

    @property
    def markup(self) -> Markup:
        """The element, not to be escaped: it is made by this package."""
        return Markup(self.svg)


@dataclass(frozen=True)
class Video:
    """An MP4 file from :func:`foresight.report.videos.encode_mp4` with its caption."""

    mp4: bytes
    caption: str = ""
    kind: str = field(default="video", init=False)
    linked: bool = field(default=False, init=False)

    @property
    def source(self) -> str:
        """The file as a ``data:`` address."""
        return "data:video/mp4;base64," + base64.b64encode(self.mp4).decode()


@dataclass(frozen=True)
class LinkedVideo:
    """An MP4 file beside the page, for pages of many films; it is read when it is looked at."""

    source: str
    """Where it lies, from the page's folder."""
    caption: str = ""
    kind: str = field(default="video", init=False)
    linked: bool = field(default=True, init=False)


@dataclass(frozen=True)
class TableBlock:
    """A table in a page; ``folded`` hides it behind its title."""

    table: Table
    folded: bool = False
    kind: str = field(default="table", init=False)


Block = Text | Plot | Video | LinkedVideo | TableBlock


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it. Videos that follow each other share a row."""

    title: str
    blocks: Sequence[Block]


def write_page(path: Path | str, title: str, sections: Sequence[Section], lead: str = "") -> Path:
    """Write a self-contained page.

    Args:
        path: the HTML file.
        title: heading and browser title.
        sections: in order; empty ones are left out.
        lead: a sentence below the heading.

    Raises:
        ForesightError: the file cannot be written.
    """
    shown = [section for section in sections if section.blocks]
    style = Markup(_read("style.css"))
    html = _template().render(title=title, lead=lead, sections=shown, style=style)
    write_text(path, html)
    return Path(path)


def result_sections(
    result: Result,
    metrics: Sequence[Row] | None = None,
    videos: Sequence[Video] = (),
) -> list[Section]:
    """The standard sections of a result.

    Args:
        result: tables, bars, error per horizon and provenance come from it.
        metrics: rows of a metrics file, for learning curves.
        videos: shown after the tables.
    """
    sections = []
    if result.conditions:
        bars = Plot(return_bars(result), "Mean return; lines are 95 % bootstrap intervals.")
        blocks: list[Block] = [bars]
        if len(result.tasks) > 1:
            blocks.append(TableBlock(overview_table(result)))
        blocks.append(TableBlock(episode_table(result)))
        sections.append(Section("Results", blocks))
    if videos:
        sections.append(Section("Episodes on film", list(videos)))
    horizons = _horizon_plots(result)
    if horizons:
        sections.append(Section("Imagination: error per horizon", horizons))
    if metrics and reader_metrics(metrics):
        sections.append(Section("Learning curves", [Plot(learning_curves(metrics), CURVES)]))
    measured = measurement_table(result)
    if measured.rows:
        sections.append(Section("Measurements", [TableBlock(measured, folded=True)]))
    origin: list[Block] = [TableBlock(provenance_table(result))]
    if result.config:
        origin.append(TableBlock(config_table(result), folded=True))
    sections.append(Section("Provenance", origin))
    return sections


def write_result_page(
    path: Path | str,
    result: Result,
    metrics: Sequence[Row] | None = None,
    videos: Sequence[Video] = (),
    title: str | None = None,
) -> Path:
    """Write the standard page of a result."""
    episodes = sum("return" in row for row in result.rows)
    lead = f"{episodes} episodes, protocol {result.protocol}, {result.created[:10]}"
    sections = result_sections(result, metrics, videos)
    return write_page(path, title or result.name, sections, lead if episodes else "")


def _horizon_plots(result: Result) -> list[Block]:
    wanted = dict.fromkeys(
        (row["measure"], row.get("task") or "all")
        for row in result.rows
        if row.get("horizon") is not None and "measure" in row
    )
    return [
        Plot(
            error_per_horizon(horizon_series(result, measure, task), measure.replace("_", " ")),
            f"{task}: persistence predicts that nothing changes.",
        )
        for measure, task in wanted
    ]


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read("template.html"))


def _read(name: str) -> str:
    return resources.files("foresight.report").joinpath(name).read_text("utf-8")
