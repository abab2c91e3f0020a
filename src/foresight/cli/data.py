"""Look into a dataset, check it or repair it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional


@dataclass
class Config:
    """Look into a dataset of any program, check it or repair it.

    `info` prints what the dataset holds, `check` looks for damage and ends with exit code 1 when
    it finds some, `repair` takes damaged episodes out into the folder `removed` and says what it
    did. Datasets of LeRobot (v3.0 and v2.1) are read as they are.
    """

    action: Positional[Literal["info", "check", "repair"]]
    """What to do with the dataset."""
    path: Positional[Path]
    """The dataset's folder."""
    decode: bool = False
    """Decode every frame while checking; slower."""
    json: bool = False
    """Print JSON instead of words."""


def main(config: Config) -> int:
    """Run one action; the exit code is 1 when the dataset has problems left."""
    from foresight.data.check import examine, info, repair

    if config.action == "info":
        found = info(config.path)
        print(json.dumps(found, indent=1, default=str) if config.json else _table(found))
        return 0
    actions = repair(config.path) if config.action == "repair" else []
    report = examine(config.path, config.decode)
    if config.json:
        found = {"actions": actions, "problems": report.problems, "notes": report.notes}
        print(json.dumps(found, indent=1))
    else:
        _say(config, actions, report.problems, report.notes)
    return 1 if report.problems else 0


def _say(config: Config, actions: list[str], problems: list[str], notes: list[str]) -> None:
    for note in notes:
        print(f"note: {note}")
    for action in actions:
        print(f"repaired: {action}")
    for problem in problems:
        print(f"problem: {problem}")
    if not problems:
        print(f"{config.path} is sound.")
    elif config.action == "check":
        print(f"Mend it with: foresight data repair {config.path}")


def _table(found: dict[str, Any]) -> str:
    """One line for each fact, names in one column; nested facts get a dotted name."""
    flat = dict(_flatten(found))
    width = max(map(len, flat), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in flat.items())


def _flatten(found: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            rows += _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple):
            rows.append((prefix + name, ", ".join(map(str, value))))
        else:
            rows.append((prefix + name, str(value)))
    return rows
