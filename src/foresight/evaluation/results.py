"""Result files: what a command measured, row by row, with its provenance.

Every file in ``results/`` has the one schema of ``results.schema.json`` (docs/results.md explains
it). It is checked when a result is made, saved and loaded. Many rows lie in a Parquet file beside
it, so that the file itself stays a page that one can read.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import jsonschema

from foresight.core.errors import ForesightError
from foresight.core.files import file_fingerprint, fingerprint, plain_json, read_json, write_text
from foresight.core.provenance import git_revision, versions
from foresight.evaluation.result_rows import (
    check_rows,
    read_rows,
    refuse,
    refuse_non_finite,
    rows_path,
    schema,
    write_rows,
)
from foresight.evaluation.statistics import Row, Summary, summarise

ROWS_INSIDE = 50_000
"""Characters of rows that a result file holds at most."""
WHOLE = 100_000
"""Characters that it holds at most while it holds rows."""


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
        summary: ``<what>/<task>`` to ``{"mean", "low", "high", "n"}``, computed from the rows;
            what follows from rows, such as paired differences, stands here alone.
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

        Many rows (`ROWS_INSIDE`, `WHOLE`) go into ``<stem>.rows.parquet`` beside it, written first.

        Raises:
            ForesightError: it does not fit the schema, or the file cannot be written.
        """
        value = {field.name: getattr(self, field.name) for field in fields(self)}
        validate(value, source=path)
        rows = _row_lines(self.rows)
        text = _text(value, rows)
        outside = len(rows) > ROWS_INSIDE or len(text) > WHOLE
        left = None if outside else _left_rows(path)
        if outside:
            text = _text({**value, "rows": write_rows(path, self.rows)})
        write_text(path, text)
        if left is not None:
            left.unlink(missing_ok=True)
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
        rows: one dictionary per episode or measurement; numpy scalars are fine, a field that is
            None is left out.
        summary: extra or replacement entries beside the ones computed from the rows.
        command: the command line; the one of this process if left out.

    Raises:
        ForesightError: the rows do not fit the schema.
    """
    plain_rows = [{k: v for k, v in row.items() if v is not None} for row in plain(list(rows))]
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
    _validate_page(value, source=f"result {name}")
    return Result(**value)


def load(path: Path | str) -> Result:
    """Read and check a result file, with its rows.

    Raises:
        ForesightError: it is missing, no JSON, does not fit the schema, or its rows are not beside
            it.
    """
    value = read_json(path)
    _validate_page(value, path)
    if isinstance(value["rows"], dict):
        # They were checked when they were written, and their fingerprint says that they are those.
        value["rows"] = read_rows(path, value["rows"])
    else:
        check_rows(value["rows"], path)
    return Result(**value)


def validate(value: Any, source: Path | str = "result") -> None:
    """Check a result, given as plain JSON, against the schema.

    Raises:
        ForesightError: naming the offending field, its value and what was expected.
    """
    _validate_page(value, source)
    check_rows(value["rows"], source)


def config_hash(config: Any) -> str:
    """Hash of a configuration (16 hex digits), the one that rows carry."""
    return fingerprint(plain(config))


def plain(value: Any) -> Any:
    """``value`` as plain JSON types: dataclasses, paths and numpy numbers are converted."""
    return json.loads(json.dumps(value, default=plain_json))


@cache
def _validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def _validate_page(value: Any, source: Path | str) -> None:
    """Everything but the single rows."""
    refuse(_validator(), value, source)
    refuse_non_finite({key: part for key, part in value.items() if key != "rows"}, source)


def _left_rows(path: Path | str) -> Path | None:
    """The rows beside the result that is about to be replaced, if they are known to be its own."""
    try:
        rows = read_json(path)["rows"]
        own = rows["fingerprint"] == file_fingerprint(rows_path(path))
    except (ForesightError, OSError, KeyError, TypeError):
        return None  # nothing there, or nothing of ours
    return rows_path(path) if own else None


def _row_lines(rows: Sequence[Row]) -> str:
    return ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)


def _text(value: dict[str, Any], rows: str = "") -> str:
    """Indented JSON, but each row and each summary on a line: differences are seen by row."""
    dumps = partial(json.dumps, allow_nan=False)
    lines = ",\n".join(f"  {dumps(k)}: {dumps(entry)}" for k, entry in value["summary"].items())
    indented = {**value, "rows": []} if rows else value
    parts = {key: dumps(part, indent=1).replace("\n", "\n ") for key, part in indented.items()}
    parts["summary"] = f"{{\n{lines}\n }}" if lines else "{}"
    if rows:
        parts["rows"] = f"[\n{rows}\n ]"
    return "{\n" + ",\n".join(f" {dumps(key)}: {part}" for key, part in parts.items()) + "\n}\n"


def _command_line() -> str:
    program = Path(sys.argv[0]).name
    return shlex.join(["foresight" if program == "__main__.py" else program, *sys.argv[1:]])
