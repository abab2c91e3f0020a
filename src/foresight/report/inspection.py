"""Pages of a policy that is inspected: along demonstrations, in trials, and of replayed actions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foresight.evaluation.results import Result
from foresight.report.page import (
    Block,
    Plot,
    Section,
    TableBlock,
    Text,
    Video,
    write_page,
)
from foresight.report.tables import Cell, Table, interval, provenance_table

PLOT_NOTE = (
    "Thick grey: what was shown. Blue: of each chunk the executed actions, the rest faint. Dashed: "
    "the policy with visual tokens that are zero. Dotted: the training episode that begins most "
    "alike."
)
FILM_NOTES = {
    "attention": (
        "Heat: share of the decoder's cross-attention, mean over layers, heads and actions, one "
        "scale for all. Tokens have attended to each other before where the network has encoder "
        "layers, so heat says which tokens were read and not all that they knew."
    ),
    "occlusion": (
        "Heat: how far the chunk changes when a token is taken away, as a share of all such "
        "changes, one scale for all. What several tokens tell alike seems less important than it "
        "is."
    ),
}
ERROR_NOTE = (
    "Mean absolute error of the actions that would be executed, in each episode's deviations. "
    "Brackets are 95 % bootstrap intervals over episodes."
)


SHARE_TITLES = {
    "attention": "Share of cross-attention",
    "occlusion": "Share of the chunk's change, by occlusion",
}


@dataclass(frozen=True)
class EpisodeShown:
    """What the page says of one episode."""

    episode: int
    task: str
    replayed: int
    plot: str
    mp4: bytes
    shares: dict[str, float]


def error_table(result: Result) -> Table:
    """Errors of an inspection: tasks down, the policy and its rivals across."""
    names = ("policy", "blind", "nearest replay")
    rows = []
    for task in result.tasks:
        keys = [
            f"action-error/{task}" if name == "policy" else f"{name}:action-error/{task}"
            for name in names
        ]
        found = [result.summary.get(key) for key in keys]
        cells = [Cell(interval(each)) if each else Cell("–", "muted") for each in found]
        rows.append([Cell(task), *cells])
    return Table("Error of executed actions", ("task", *names), rows, note=ERROR_NOTE)


def gaze_table(result: Result) -> Table:
    """Mean shares of attention or occlusion: tasks down, parts of the context across."""
    by = result.config["by"]
    first = f"{by}-"
    keys = [key for key in result.summary if key.startswith(first)]
    parts = list(dict.fromkeys(key.partition("/")[0].removeprefix(first) for key in keys))
    rows = []
    for task in result.tasks:
        entries = [result.summary[f"{first}{part}/{task}"] for part in parts]
        rows.append([Cell(task), *(Cell(f"{entry['mean']:.1%}") for entry in entries)])
    titles = [part.replace("-", " ", 1) for part in parts]
    return Table(SHARE_TITLES[by], ("task", *titles), rows)


def write_demonstrations_page(path: Path, result: Result, episodes: Sequence[EpisodeShown]) -> None:
    """Write the page of a policy along demonstrations; films are in it."""
    tables = [TableBlock(error_table(result)), TableBlock(gaze_table(result))]
    sections, by = [Section("Numbers", tables)], result.config["by"]
    for shown in episodes:
        parts = "  ".join(f"{name} {share:.1%}" for name, share in shown.shares.items())
        blocks: list[Block] = [
            Text(f"{SHARE_TITLES[by]}: {parts}. Nearest replay: episode {shown.replayed}."),
            Plot(shown.plot, PLOT_NOTE),
            Video(shown.mp4, FILM_NOTES[by]),
        ]
        title = f"Episode {shown.episode}" + (f": {shown.task}" if shown.task else "")
        sections.append(Section(title, blocks))
    sections.append(Section("Provenance", [TableBlock(provenance_table(result))]))
    execute = result.config["execute"]
    kind = "Held-out episodes" if result.config["held_out"] else "Episodes of another dataset"
    lead = f"{kind}; {execute} actions of a chunk are executed before the next is decided."
    write_page(path, "What the policy decides and looks at", sections, lead)
