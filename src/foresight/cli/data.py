"""Look into a dataset, check it or repair it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional


@dataclass
class Config:
    """Look into a dataset, check it or repair it.

    `info` prints what the dataset holds, `check` looks for damage and ends with exit code 1 when
    it finds some, `repair` mends what can be mended and says what it did.
    """

    action: Positional[Literal["info", "check", "repair"]]
    """What to do with the dataset."""
    path: Positional[Path]
    """The dataset's folder."""
    json: bool = False
    """Print JSON instead of words."""


def main(config: Config) -> int:
    """Run one action; the exit code is 1 when the dataset has problems left."""
    from foresight.data.check import check, info, repair

    if config.action == "info":
        found = info(config.path)
        print(json.dumps(found, indent=1, default=str) if config.json else _table(found))
        return 0
    actions = repair(config.path) if config.action == "repair" else []
    problems = check(config.path)
    if config.json:
        print(json.dumps({"actions": actions, "problems": problems}, indent=1))
    else:
        _say(config, actions, problems)
    return 1 if problems else 0


def _say(config: Config, actions: list[str], problems: list[str]) -> None:
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
