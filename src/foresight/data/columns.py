"""Columns of many episodes as arrays; each data file is opened once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa

from foresight.core.errors import ForesightError
from foresight.data.episodes import EpisodeMeta
from foresight.data.features import Feature, Schema
from foresight.data.tables import RowReader, to_numpy


def read_tables(
    root: Path, metas: Sequence[EpisodeMeta], names: Sequence[str]
) -> Iterator[tuple[EpisodeMeta, pa.Table]]:
    """The rows of each episode, in order.

    Raises:
        ForesightError: a data file is missing, damaged or holds other steps than described.
    """
    for data, group in groupby(metas, key=lambda meta: meta.data):
        with RowReader(root / data) as reader:
            for meta in group:
                if meta.own and reader.rows == meta.length:
                    yield meta, reader.read(names)
                else:
                    yield meta, reader.episode(meta.index, meta.length, names)


def read_arrays(
    root: Path, metas: Sequence[EpisodeMeta], names: Sequence[str], schema: Schema
) -> dict[str, np.ndarray]:
    """Columns of episodes one after the other, ``[N]`` or ``[N, ...]``, in the types on disk.

    Raises:
        ForesightError: a data file is missing, damaged or holds other steps than described.
    """
    features = schema.columns()
    parts: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for meta, table in read_tables(root, metas, names):
        where = f"{root / meta.data}, episode {meta.index},"
        for name in names:
            parts[name].append(to_numpy(table[name], features[name], where))
    return {name: _joined(values, features[name]) for name, values in parts.items()}


def expect_finite(
    name: str, values: np.ndarray, metas: Sequence[EpisodeMeta], schema: Schema, path: Path
) -> None:
    """Refuse a column with NaN or Infinity, naming episode, row and number.

    Raises:
        ForesightError: there is one.
    """
    words = first_not_finite(name, values, metas, schema)
    if words is not None:
        raise ForesightError(
            f"{path}: {words}. Take the episode out with `foresight data repair`, or read the "
            "column with finite=False and mend it."
        )


def first_not_finite(
    name: str, values: np.ndarray, metas: Sequence[EpisodeMeta], schema: Schema
) -> str | None:
    """Where the first NaN or Infinity of a column of ``metas`` is, in words; None without one."""
    if values.dtype.kind != "f":
        return None
    wrong = ~np.isfinite(values.reshape(len(values), -1))
    if not wrong.any():
        return None
    row, number = (int(i) for i in np.argwhere(wrong)[0])
    value = values.reshape(len(values), -1)[row, number]
    ends = np.cumsum([meta.length for meta in metas])
    which = int(np.searchsorted(ends, row, side="right"))
    step = row - int(ends[which] - metas[which].length)
    feature = schema.features[name]
    axis = "" if feature.scalar else f" ({feature.axis_names()[number]})"
    count = int(wrong.any(axis=1).sum())
    more = f"; {count} rows have such a number" if count > 1 else ""
    return f"episode {metas[which].index} has {value} in row {step} of {name}{axis}{more}"


def _joined(parts: list[np.ndarray], feature: Feature) -> np.ndarray:
    if parts:
        return np.concatenate(parts)
    dtype = object if feature.dtype == "string" else np.dtype(feature.dtype)
    return np.empty((0, *feature.step_shape), dtype)
