"""Result files: what a command measured, row by row, with its provenance.

Every file in ``results/`` has the one schema of ``results.schema.json`` (docs/results.md explains
it). It is checked when a result is made, saved and loaded.
"""

from __future__ import annotations

import json
import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, plain_json, read_json, write_text
from foresight.core.provenance import git_revision, versions
from foresight.evaluation.statistics import Row, Summary, summarise


@dataclass(frozen=True)
class Result:
    """One result file in memory; the fields are those of the schema.

    Attributes:
        name: what was measured, e.g. ``baselines``.
        created: UTC time, ``2026-01-31T12:00:00Z``.
        git: revision of the code, ``-dirty`` behind it if the tree differed.
        command: the command line that made it.
        config: every setting of the run, as JSON.
        versions: Python and package versions.
        protocol: ``seed200``, ``dmc1000``, or ``none`` where no episode was run.
        rows: one dictionary per episode or measurement.
        summary: ``<what>/<task>`` to ``{"mean", "low", "high", "n"}``, computed from the rows.
    """

    name: str
    created: str
    git: str
    command: str
    config: dict[str, Any]
    versions: dict[str, str]
    protocol: str
    rows: list[Row]
    summary: Summary

    @property
    def config_hash(self) -> str:
        """Hash of the configuration (16 hex digits)."""
        return fingerprint(self.config)

    @property
    def tasks(self) -> list[str]:
        """Tasks in the order of the rows."""
        return list(dict.fromkeys(row["task"] for row in self.rows if "task" in row))

    @property
    def conditions(self) -> list[str]:
        """Conditions of episode rows in the order of the rows."""
        return list(dict.fromkeys(row["condition"] for row in self.rows if "return" in row))

    def save(self, path: Path | str) -> Path:
        """Check and write the result atomically.

        Raises:
            ForesightError: it does not fit the schema, or the file cannot be written.
        """
        value = asdict(self)
        validate(value, source=path)
        write_text(path, _text(value))
        return Path(path)


def make_result(
    name: str,
    config: Any,
    protocol: str,
    rows: Sequence[Row],
    summary: Mapping[str, Mapping[str, float]] | None = None,
    command: str | None = None,
) -> Result:
    """Put rows and provenance together.

    Args:
        name: what was measured.
        config: a dataclass or mapping with every setting.
        protocol: name of the protocol, ``none`` where no episode was run.
        rows: one dictionary per episode or measurement; numpy scalars are fine.
        summary: extra or replacement entries beside the ones computed from the rows.
        command: the command line; the one of this process if left out.

    Raises:
        ForesightError: the rows do not fit the schema.
    """
    plain_rows = plain(list(rows))
    value = {
        "name": name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "git": git_revision(),
        "command": command or _command_line(),
        "config": plain(config),
        "versions": versions(),
        "protocol": protocol,
        "rows": plain_rows,
        "summary": {},
    }
    validate(value, source=f"result {name}")  # before statistics meet a malformed row
    value["summary"] = summarise(plain_rows) | plain(dict(summary or {}))
    validate(value, source=f"result {name}")
    return Result(**value)


def load(path: Path | str) -> Result:
    """Read and check a result file.

    Raises:
        ForesightError: it is missing, no JSON, or does not fit the schema.
    """
    value = read_json(path)
    validate(value, source=path)
    return Result(**value)


def validate(value: Any, source: Path | str = "result") -> None:
    """Check a result, given as plain JSON, against the schema.

    Raises:
        ForesightError: naming the offending field, its value and what was expected.
    """
    errors = sorted(_validator().iter_errors(value), key=lambda error: list(error.absolute_path))
    if errors:
        error = jsonschema.exceptions.best_match(errors)
        where = ".".join(str(part) for part in error.absolute_path) or "the top level"
        raise ForesightError(
            f"{source} does not fit the result schema at {where}: {_shorten(error.message)}; see "
            "docs/results.md, and make the file again with the command that writes it."
        )
    _refuse_non_finite(value, str(source), "")


def config_hash(config: Any) -> str:
    """Hash of a configuration (16 hex digits), the one that rows carry."""
    return fingerprint(plain(config))


def plain(value: Any) -> Any:
    """``value`` as plain JSON types: dataclasses, paths and numpy numbers are converted."""
    return json.loads(json.dumps(value, default=plain_json))


@cache
def _validator() -> Any:
    schema = json.loads(
        resources.files("foresight.evaluation").joinpath("results.schema.json").read_text("utf-8")
    )
    return jsonschema.Draft202012Validator(schema)


def _refuse_non_finite(value: Any, source: str, where: str) -> None:
    """JSON Schema takes NaN for a number; JSON does not know it."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ForesightError(
            f"{source} holds {value} at {where.lstrip('.')}: a finite number was expected, leave "
            "the row out or find out why it diverged."
        )
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        _refuse_non_finite(child, source, f"{where}.{key}")


def _text(value: dict[str, Any]) -> str:
    """Indented JSON, but each row on one line: a tenth of the lines, and differences by row."""
    dumps = partial(json.dumps, allow_nan=False)
    rows = ",\n".join(f"  {dumps(row)}" for row in value["rows"])
    indented = {**value, "rows": []}
    parts = {key: dumps(part, indent=1).replace("\n", "\n ") for key, part in indented.items()}
    parts["rows"] = f"[\n{rows}\n ]" if rows else "[]"
    return "{\n" + ",\n".join(f" {dumps(key)}: {part}" for key, part in parts.items()) + "\n}\n"


def _shorten(message: str, limit: int = 200) -> str:
    return message if len(message) <= limit else message[: limit // 2] + " … " + message[-80:]


def _command_line() -> str:
    program = Path(sys.argv[0]).name
    return shlex.join(["foresight" if program == "__main__.py" else program, *sys.argv[1:]])
