"""Recipe ``imagination-gain``: what search adds to the actor it is built on, by task and frames.

Nothing is run: the episodes are those of ``reward-only``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from foresight.core.errors import ForesightError
from foresight.evaluation.results import Result, load, make_result
from foresight.evaluation.statistics import Row, Summary
from studies.registry import Request, results_file
from studies.reward_only import ACTOR, SEARCH, over_actors


def run(source: Path) -> Result:
    """Pair the searches of a result with their actors, seed by seed.

    Args:
        source: of ``reward-only``.

    Returns:
        Its episodes of actors and searches, named with the frames that they learned from; the
        summary adds ``mpc-minus-prior/<task>@<frames>``, of a second agent ``mpc-1-minus-prior``.

    Raises:
        ForesightError: there is no such file, or it is another result.
    """
    if not source.exists():
        raise ForesightError(
            f"There is no result {source}: run `foresight reproduce reward-only` first."
        )
    told = load(source)
    if told.name != "reward-only":
        raise ForesightError(f"{source} holds {told.name}: give a result of reward-only.")
    rows: list[Row] = []
    for row in told.rows:
        if "measure" in row or row["condition"].partition("-")[0].partition("@")[0] not in (
            ACTOR,
            SEARCH,
        ):
            continue
        rows.append({**row, "condition": _named(row["condition"], row["task"], told)})
    config = {"read": source, "command": told.command, "git": told.git}
    return make_result("imagination-gain", config, told.protocol, rows, gains(rows))


def gains(rows: list[Row]) -> Summary:
    """Each search minus its actor."""
    found: Summary = {}
    for task, name, gain in over_actors(rows):
        who, _, frames = name.partition("@")
        found[f"{who}-minus-prior/{task}@{frames}"] = gain
    return found


def _named(condition: str, task: str, told: Result) -> str:
    """With the frames of a finished agent behind its name."""
    if "@" in condition:
        return condition
    ending = condition.partition("-")[2]
    frames = told.summary[f"{ACTOR}{'-' if ending else ''}{ending}:frames/{task}"]["mean"]
    return f"{condition}@{round(frames)}"


def reproduce(request: Request) -> Result:
    """Of the result of reward-only in the same preset.

    Raises:
        ForesightError: as `run`.
    """
    source = replace(request, name="reward-only", out=None).target
    return run(source if request.smoke else results_file("reward-only"))
