"""The findings page: every phase of the source documents beside what was measured here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from foresight.core.errors import ForesightError
from foresight.core.files import write_text
from foresight.evaluation.results import Result
from foresight.evaluation.statistics import Summary
from foresight.report.tables import (
    Cell,
    Table,
    episode_table,
    interval,
    number,
    to_markdown,
    to_rich,
)
from studies.claims import Figure, Verdict, judge_all
from studies.readings import Readings, missing_commands
from studies.sources import SOURCES, Source

INTRODUCTION = """# Findings

Made by `foresight report results --findings docs/findings.md`; do not edit by hand.

The source documents tried a frozen V-JEPA 2 as a robot's eyes in nine phases and drew conclusions,
many of them from single episodes. Each phase is repeated here with its mistakes mended, in two
views: `grid`, principal axes of the tokens with space kept, and `mean`, the sources' mean vector of
8-frame windows. The eyes are the small bundled encoder, not the sources' ViT-L, so figures are set
beside each other, not expected to agree; what is put to the test are the conclusions.

A conclusion **survives** if the whole 95 % interval of what decides it lies on its side of the
bound, **does not survive** if the whole of it lies on the other side, and **stays open** if the
bound lies inside. No verdict is typed by hand. Differences are paired, by seed or by held-out
episode.
"""


def findings_page(folder: Path) -> str:
    """The whole page, from the result files of ``folder``.

    Raises:
        ForesightError: none of the phases has a result there, or a file is no valid result.
    """
    readings = Readings(folder)
    if not any(readings.get(name) or readings.answers(one) for name, one in SOURCES.items()):
        raise ForesightError(
            f"{folder} holds no result of a phase: run `foresight reproduce phase-4b`, for example."
        )
    known = {name: readings.about(name, source) for name, source in SOURCES.items()}
    parts = [INTRODUCTION, to_markdown(overview(known))]
    for name, source in SOURCES.items():
        parts.append(_section(name, source, known[name], readings))
    return "\n".join(parts)


def write_findings(folder: Path, path: Path) -> Path:
    """Write the page.

    Raises:
        ForesightError: as `findings_page`.
    """
    write_text(path, findings_page(folder))
    return path


def overview(known: Mapping[str, Summary]) -> Table:
    """How many conclusions of each phase survive.

    Args:
        known: what is known about each phase; baselines are known without its own result.
    """
    rows = []
    for name, source in SOURCES.items():
        outcomes = [verdict.outcome for verdict in judge_all(source.claims, known[name])]
        counts = [outcomes.count(kind) for kind in ("survives", "fails", "open")]
        numbers = [len(source.claims) - len(outcomes), *counts]
        rows.append([Cell(source.title), *(Cell(str(number)) for number in numbers)])
    columns = ("phase", "not measured", "survive", "do not", "open")
    return Table("Conclusions", columns, rows, labels=1)


def figure_table(source: Source, summary: Summary) -> Table:
    """The sources' figures beside ours."""
    rows = [[Cell(f.what), Cell(_theirs(f)), Cell(_ours(f, summary))] for f in source.figures]
    return Table("Figures", ("what", "sources", "ours"), rows, labels=1)


def verdict_lines(source: Source, summary: Summary) -> list[str]:
    """One sentence for each conclusion that the summary decides about."""
    return [_sentence(verdict) for verdict in judge_all(source.claims, summary)]


def count_line(source: Source, summary: Summary) -> str:
    """How many conclusions survive, in a sentence."""
    outcomes = [verdict.outcome for verdict in judge_all(source.claims, summary)]
    kept, lost, left = (outcomes.count(kind) for kind in ("survives", "fails", "open"))
    return (
        f"Of {len(outcomes)} conclusions put to the test, {kept} survive{'s' * (kept == 1)}, "
        f"{lost} do{'es' * (lost == 1)} not, and {left} stay{'s' * (left == 1)} open."
    )


def missing_line(name: str, source: Source, summary: Summary) -> str:
    """How many conclusions wait for a measurement, and for which; empty if none does."""
    missing = len(source.claims) - len(judge_all(source.claims, summary))
    commands = ", ".join(f"`{one}`" for one in missing_commands(name, source, summary))
    verb = "is" if missing == 1 else "are"
    return f"{missing} {verb} not measured yet: {commands}." if missing else ""


def print_phase(name: str, results: Path, result: Result | None = None) -> None:
    """Print figures and verdicts, from a phase's own result and those of other experiments.

    Args:
        name: of the phase.
        results: folder of the other results.
        result: its own, if it has one.
    """
    phase = SOURCES[name]
    known = Readings(results).about(name, phase) | (result.summary if result else {})
    Console().print(to_rich(figure_table(phase, known)))
    for line in (*verdict_lines(phase, known), count_line(phase, known)):
        print(line.replace("**", ""))
    if missing := missing_line(name, phase, known):
        print(missing)


def _section(name: str, source: Source, summary: Summary, readings: Readings) -> str:
    lines = [f"## {source.title}\n", f"*What they did.* {source.did}\n"]
    lines.append(f"*What is mended here.* {source.mended}\n")
    result = readings.get(name)
    if result is not None:
        lines.append(f"*Measured* by {_made(result)}. {_sizes(result)}".rstrip() + "\n")
    for file in readings.answers(source):
        other = readings.get(file)
        assert other is not None
        lines.append(f"*Read* from `{file}.json`, made by {_made(other)}.\n")
    lines.append(to_markdown(figure_table(source, summary)))
    if result is not None and result.conditions:
        lines.append(to_markdown(episode_table(result)))
    verdicts = verdict_lines(source, summary)
    if verdicts:
        lines += [f"{count_line(source, summary)}\n", *(f"- {line}" for line in verdicts), ""]
    missing = missing_line(name, source, summary)
    if missing:
        lines.append(f"{missing}\n")
    return "\n".join(lines)


def _made(result: Result) -> str:
    return f"`{result.command}` at `{result.git[:12]}`, {result.created[:10]}"


def _sizes(result: Result) -> str:
    """What the sizes of the run were, where the configuration says so."""
    phase = result.config.get("phase")
    if not isinstance(phase, dict) or "updates" not in phase:
        return ""
    episodes, updates = phase["episodes"], phase["updates"]
    if result.name == "phase-4e":
        episodes = phase["large"]
    elif result.name in ("phase-1", "phase-6", "phase-7"):
        episodes = phase["task_episodes"]
    if result.name in ("phase-4d", "phase-4e"):
        updates = max(1, updates // 2)
    elif result.name in ("phase-6", "phase-7"):
        updates = phase["ensemble_updates"]
    share = 100 * (1 - phase["validation"])
    return (
        f"{episodes} episodes of a dataset, {share:.0f} % of them to learn from; {updates} updates "
        f"of {phase['batch']} windows."
    )


def _sentence(verdict: Verdict) -> str:
    claim = verdict.claim
    entry = {"mean": verdict.mean, "low": verdict.low, "high": verdict.high, "n": verdict.n}
    return (
        f"“{claim.says}” **{verdict.words.split(',')[0].capitalize()}**: {claim.measured} is "
        f"{interval(entry)}, n = {verdict.n}; for the conclusion it has to be {claim.side} "
        f"{number(claim.bound)}."
    )


def _theirs(figure: Figure) -> str:
    return "–" if figure.source is None else f"{figure.source:g}"


def _ours(figure: Figure, summary: Summary) -> str:
    entry = summary.get(figure.key)
    return interval(entry) if entry else "–"
