"""The rows of a result: checked one by one, and written as Parquet where they are many."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import fingerprint, write_bytes
from foresight.evaluation.statistics import Row

_KINDS = {bool: "true or false", int: "a number", float: "a number", str: "text"}


def rows_path(path: Path | str) -> Path:
    """Where the rows of the result file ``path`` lie if they are not in it."""
    path = Path(path)
    return path.with_name(f"{path.stem}.rows.parquet")


def write_rows(path: Path | str, rows: Sequence[Row]) -> dict[str, Any]:
    """Write the rows of the result file ``path`` beside it (Parquet, zstd).

    Returns:
        What the result file says in their place: ``file``, ``count`` and ``fingerprint``.

    Raises:
        ForesightError: a field holds different kinds of values, or the disk refuses.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column(name, [row.get(name) for row in rows]) for name in names}
    buffer = io.BytesIO()
    # Measured values fill their 64 bits: byte by byte they compress better than as a dictionary.
    floats = [name for name, column in columns.items() if pa.types.is_floating(column.type)]
    pq.write_table(
        pa.table(columns),
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=[name for name in names if name not in floats],
        use_byte_stream_split=floats,
    )
    data = buffer.getvalue()
    place = rows_path(path)
    write_bytes(place, data)
    return {"file": place.name, "count": len(rows), "fingerprint": fingerprint(data)}


def read_rows(path: Path | str, told: dict[str, Any]) -> list[Row]:
    """Read what `write_rows` wrote; a field that a row does not have is left out of it.

    Args:
        path: of the result file.
        told: what it says about its rows.

    Raises:
        ForesightError: the rows are missing, damaged, or those of another result.
    """
    place = Path(path).with_name(told["file"])
    try:
        data = place.read_bytes()
    except FileNotFoundError as error:
        raise ForesightError(
            f"{path} has its rows in {place}, which does not exist: copy both files, or make them "
            "again with the command that the result names."
        ) from error
    if fingerprint(data) != told["fingerprint"]:
        raise ForesightError(
            f"{place} does not hold the {told['count']} rows that {path} was made from: it belongs "
            "to another version of the result or is damaged, so make both again with the command "
            "that the result names."
        )
    table = pq.read_table(io.BytesIO(data))
    rows: list[Row] = [{} for _ in range(table.num_rows)]
    for name in table.column_names:
        column = table[name].combine_chunks()
        held = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        for index, value in zip(held.tolist(), _values(column.drop_null()), strict=True):
            rows[index][name] = value
    return rows


def check_rows(rows: Sequence[Row], source: Path | str) -> None:
    """Check every row against the schema, its numbers for being finite.

    Rows that differ in their numbers alone are alike to the schema, so one of each kind is shown
    to it: a hundred thousand rows take a second.

    Raises:
        ForesightError: naming the row, the field, its value and what was expected.
    """
    seen: set[Any] = set()
    for index, row in enumerate(rows):
        kind = _kind(row, index, source)
        if kind not in seen:
            refuse(row_validator(), row, source, f"rows.{index}")
            seen.add(kind)


def refuse(validator: Any, value: Any, source: Path | str, at: str = "") -> None:
    """Raise a sentence about what does not fit the schema, if anything does not."""
    errors = sorted(validator.iter_errors(value), key=lambda error: list(error.absolute_path))
    if not errors:
        return
    error = jsonschema.exceptions.best_match(errors)
    path = ".".join([*([at] if at else []), *map(str, error.absolute_path)])
    raise ForesightError(
        f"{source} does not fit the result schema at {path or 'the top level'}: "
        f"{_shorten(error.message)}; see docs/results.md, and make the file again with the command "
        "that writes it."
    )


def refuse_non_finite(value: Any, source: Path | str, where: str = "") -> None:
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
        refuse_non_finite(child, source, f"{where}.{key}")


@cache
def schema() -> dict[str, Any]:
    """The schema of result files."""
    text = resources.files("foresight.evaluation").joinpath("results.schema.json")
    found: dict[str, Any] = json.loads(text.read_text("utf-8"))
    return found


@cache
def row_validator() -> Any:
    """Checks a single row."""
    parts = {"$schema": schema()["$schema"], "$defs": schema()["$defs"], "$ref": "#/$defs/row"}
    return jsonschema.Draft202012Validator(parts)


def _kind(row: Any, index: int, source: Path | str) -> Any:
    """What the schema can tell of a row: its texts, and where its numbers lie among 0 and 1."""
    if not isinstance(row, dict):
        return repr(row)
    parts: list[tuple[Any, ...]] = []
    for name, value in row.items():
        if type(value) is float:
            if not math.isfinite(value):
                refuse_non_finite(value, source, f"rows.{index}.{name}")
            parts.append((name, float, value.is_integer(), value >= 0, value >= 1))
        elif type(value) is int:
            parts.append((name, int, True, value >= 0, value >= 1))
        else:
            parts.append((name, type(value), str(value)))
    return tuple(parts)


def _column(name: str, values: list[Any]) -> pa.Array:
    kinds = {_KINDS.get(type(value), "a list") for value in values if value is not None}
    if len(kinds) > 1:
        raise ForesightError(
            f"Rows hold {' and '.join(sorted(kinds))} in the field {name!r}: give it one kind of "
            "value in all rows."
        )
    if any(type(value) is float for value in values):
        values = [None if value is None else float(value) for value in values]
    return pa.array(values)


def _values(column: pa.Array) -> list[Any]:
    """A column without nulls as a list; texts repeat, so each is made once."""
    if not pa.types.is_string(column.type):
        found: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
        return found
    coded = column.dictionary_encode()
    words = coded.dictionary.to_pylist()
    return [words[index] for index in coded.indices.to_numpy().tolist()]


def _shorten(message: str, limit: int = 200) -> str:
    return message if len(message) <= limit else message[: limit // 2] + " … " + message[-80:]
