"""Parquet in and out: columns as arrays, and failures as sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.core.files import atomic_write
from foresight.data.features import Feature


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn failures of reading ``path`` into a ``ForesightError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise ForesightError(
            f"{path} does not exist: copy it again, or run `foresight data repair`."
        ) from error
    except PermissionError as error:
        raise ForesightError(f"{path} may not be read: check its permissions.") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).splitlines()[0].strip(".") if str(error) else "unreadable"
        raise ForesightError(
            f"{path} is not a whole parquet file ({reason}): copy it again, or run `foresight data "
            "repair`."
        ) from error


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a small table atomically, as one row group with checksums."""

    def write(temporary: Path) -> None:
        pq.write_table(
            table, temporary, row_group_size=max(1, len(table)), write_page_checksum=True
        )

    atomic_write(path, write)


def to_arrow(array: np.ndarray, feature: Feature) -> pa.Array:
    """A column of a data file from ``[T, ...]``."""
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    kind = feature.arrow()
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    if not pa.types.is_list(kind):
        return flat
    for depth in range(len(feature.shape) - 1, -1, -1):
        width = feature.shape[depth]
        ends = np.arange(0, len(flat) + 1, width, dtype=np.int32)
        flat = pa.ListArray.from_arrays(pa.array(ends), flat)
    return flat


def to_numpy(column: pa.ChunkedArray, feature: Feature, where: str) -> np.ndarray:
    """A column as ``[T]`` or ``[T, ...]`` of the feature's shape, in the type on disk.

    Raises:
        ForesightError: rows of other lengths than the feature says.
    """
    array = column.combine_chunks()
    rows = len(array)
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if feature.dtype == "string":
        return np.array(array.to_pylist(), dtype=object)
    while pa.types.is_nested(array.type):
        array = array.flatten()
    values: np.ndarray = array.to_numpy(zero_copy_only=False)
    if values.dtype == object:  # missing values among whole numbers or flags
        values = np.array([np.nan if v is None else v for v in values], np.float64)
    if len(values) != rows * feature.size:
        raise ForesightError(
            f"{where} has {len(values)} numbers of {feature.name} in {rows} rows but "
            f"{feature.size} a row are expected: the file does not fit its info.json."
        )
    return values.reshape(rows, *feature.step_shape)


class RowReader:
    """Rows of single episodes out of data files that hold one or many of them.

    Args:
        path: the data file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with parquet_errors(path):
            self._file = pq.ParquetFile(path, page_checksum_verification=True)
        self.rows = self._file.metadata.num_rows
        self._arrow = self._file.schema_arrow
        self.names = list(self._arrow.names)

    def __enter__(self) -> RowReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, names: Sequence[str]) -> pa.Table:
        """Columns of all rows.

        Raises:
            ForesightError: the file is damaged or lacks a column.
        """
        self._expect(names)
        with parquet_errors(self.path):
            return self._file.read(columns=list(names))

    def episode(self, number: int, length: int, names: Sequence[str]) -> pa.Table:
        """Columns of the rows of one episode, in order.

        Args:
            number: its ``episode_index``.
            length: how many rows it has by the metadata.
            names: the columns.

        Raises:
            ForesightError: the file is damaged, lacks a column or holds another number of rows.
        """
        self._expect(names)
        if "episode_index" not in self.names:
            if self.rows != length:
                raise self._miscount(number, self.rows, length)
            return self.read(names)
        wanted = list(dict.fromkeys([*names, "episode_index"]))
        with parquet_errors(self.path):
            groups = self._groups(number)
            table = self._file.read_row_groups(groups, columns=wanted)
            table = table.filter(pc.equal(table["episode_index"], number))
        if len(table) != length:
            raise self._miscount(number, len(table), length)
        return table.select(list(names))

    def _groups(self, number: int) -> list[int]:
        """Row groups that may hold an episode, by their statistics."""
        metadata = self._file.metadata
        place = self._arrow.get_field_index("episode_index")
        flat = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        place = flat.index("episode_index") if "episode_index" in flat else place
        found = []
        for group in range(metadata.num_row_groups):
            stats = metadata.row_group(group).column(place).statistics
            if stats is None or not stats.has_min_max or stats.min <= number <= stats.max:
                found.append(group)
        return found

    def _expect(self, names: Sequence[str]) -> None:
        lacking = [name for name in names if name not in self.names]
        if lacking:
            raise ForesightError(
                f"{self.path} lacks the column {lacking[0]!r} that info.json names: copy the file "
                "again, or run `foresight data check`."
            )

    def _miscount(self, number: int, found: int, length: int) -> ForesightError:
        return ForesightError(
            f"{self.path} holds {found} rows of episode {number} but {length} are expected: copy "
            "the file again, or take the episode out with `foresight data repair`."
        )
