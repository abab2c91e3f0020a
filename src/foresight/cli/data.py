"""Look into a dataset, check it, repair it, or import demonstrations."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tyro.conf import OmitArgPrefixes, Positional

from foresight.core.errors import ForesightError
from foresight.data.hdf5.options import ImportOptions


@dataclass
class Config:
    """Look into a dataset of any program, check it or repair it; import demonstrations.

    `info` prints what the dataset holds, `check` looks for damage and ends with exit code 1 when
    it finds some, `repair` takes damaged episodes out into the folder `removed` and says what it
    did. Datasets of LeRobot (v3.0 and v2.1) are read as they are. `import` brings demonstrations
    in HDF5, in the layout of LIBERO or robomimic, into a dataset; it goes on where it was stopped.
    """

    action: Positional[Literal["info", "check", "repair", "import"]]
    """What to do with the dataset."""
    path: Positional[Path]
    """The dataset's folder; of `import` an HDF5 file, or a folder of such files."""
    out: Path | None = None
    """Folder of the dataset that `import` makes or goes on with."""
    decode: bool = False
    """Decode every frame while checking; slower."""
    json: bool = False
    """Print JSON instead of words."""
    demonstrations: OmitArgPrefixes[ImportOptions] = field(default_factory=ImportOptions)
    """Of `import`."""


def main(config: Config) -> int:
    """Run one action; the exit code is 1 when the dataset has problems left."""
    if config.action == "import":
        return _import(config)
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


def _import(config: Config) -> int:
    from foresight.data.hdf5.importing import import_demonstrations

    if config.out is None:
        raise ForesightError(f"No folder for the demonstrations of {config.path}: give --out.")
    import_demonstrations(config.path, config.out, config.demonstrations)
    return 0


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
