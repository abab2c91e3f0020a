"""Episodes as parquet: one data file each, and one table that describes them all.

A data file carries, in its footer, the row that describes its episode. So the renaming of that
one file commits an episode, and the table in ``meta/episodes`` can be made again at any time.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from foresight.core.errors import ForesightError
from foresight.data.schema import SUCCESS_FRACTION, VIDEO_KEY, EpisodeMeta, Schema, place
from foresight.data.stats import NAMES, Stats
from foresight.envs.dmc.protocol import get_protocol

FOOTER = b"foresight"
STORED = ("action", "observation.state", "sim.state", "next.reward")
LEVELS_COLUMN = f"levels/{VIDEO_KEY}"


@dataclass
class Record:
    """All that is known of an episode beside its steps.

    Attributes:
        meta: what it is and where it lies.
        stats: statistics of every feature.
        levels: ``[3, 256]`` colour histogram, None without frames.
    """

    meta: EpisodeMeta
    stats: dict[str, Stats]
    levels: np.ndarray | None


def columns_of(
    arrays: dict[str, np.ndarray], meta: EpisodeMeta, task_index: int, fps: int
) -> dict[str, np.ndarray]:
    """Every column of a data file from the stored arrays and the episode's place."""
    steps = np.arange(meta.length, dtype=np.int64)
    return {
        **{name: arrays[name] for name in STORED},
        "next.done": steps == meta.length - 1,
        "next.success": success_flags(arrays["next.reward"], meta.protocol),
        "timestamp": (steps / fps).astype(np.float32),
        "frame_index": steps,
        "episode_index": np.full(meta.length, meta.index, np.int64),
        "index": meta.start + steps,
        "task_index": np.full(meta.length, task_index, np.int64),
    }


def success_flags(rewards: np.ndarray, protocol: str) -> np.ndarray:
    """Bool ``[T]``: whether the return so far passes ``SUCCESS_FRACTION`` of the control steps."""
    needed = SUCCESS_FRACTION * len(rewards) * get_protocol(protocol).repeat
    return np.maximum.accumulate(np.cumsum(rewards, dtype=np.float64) > needed)


def hash_arrays(arrays: dict[str, np.ndarray]) -> str:
    """Hash of what an episode holds, independent of its place and of parquet's encoding."""
    digest = hashlib.sha256()
    for name in STORED:
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def data_bytes(columns: dict[str, np.ndarray], record: Record, schema: Schema) -> bytes:
    """The data file of an episode: one row group, checksummed pages, the record in its footer."""
    arrow = schema.data_schema()
    arrays = [_to_arrow(columns[field.name], field.type) for field in arrow]
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, arrow, compression="snappy", write_page_checksum=True) as writer:
        writer.write_table(pa.table(arrays, schema=arrow), row_group_size=record.meta.length)
        writer.add_key_value_metadata({FOOTER: _footer(record, schema)})
    return buffer.getvalue()


def read_footer(path: Path) -> tuple[Record, Schema]:
    """The record and the schema that a data file carries.

    Raises:
        ForesightError: the file is missing, damaged or was not written by this package.
    """
    with parquet_errors(path):
        metadata = pq.read_metadata(path).metadata or {}
    try:
        value = json.loads(metadata[FOOTER])
        image = value["schema"]["image"]
        schema = Schema(**{**value["schema"], "image": tuple(image) if image else None})
        levels = value["levels"]
        counts = None if levels is None else _unpack(levels)
        return Record(EpisodeMeta(**value["meta"]), value["stats"], counts), schema
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ForesightError(
            f"{path} carries no readable description of its episode: it is damaged or was written "
            "by another program, run `foresight data repair` to drop it."
        ) from error


def read_columns(path: Path, names: list[str] | None = None) -> dict[str, np.ndarray]:
    """Columns of a data file, ``[T]`` or ``[T, D]``; all of them by default.

    Raises:
        ForesightError: the file is missing or damaged (page checksums are compared).
    """
    with parquet_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read(names)
    return {name: to_numpy(table[name]) for name in table.column_names}


def to_numpy(column: pa.ChunkedArray) -> np.ndarray:
    """Arrow column to ``[T]``, or ``[T, D]`` for fixed-size lists."""
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        return array.flatten().to_numpy(zero_copy_only=False).reshape(-1, array.type.list_size)
    return array.to_numpy(zero_copy_only=False)


@contextmanager
def parquet_errors(path: Path) -> Iterator[None]:
    """Turn failures of reading ``path`` into a ``ForesightError``."""
    try:
        yield
    except FileNotFoundError as error:
        raise ForesightError(
            f"{path} does not exist: run `foresight data repair`, or copy it again."
        ) from error
    except PermissionError as error:
        raise ForesightError(f"{path} may not be read: check its permissions.") from error
    except (pa.ArrowException, OSError, KeyError) as error:
        reason = str(error).splitlines()[0].strip(".") if str(error) else "unreadable"
        raise ForesightError(
            f"{path} is not a whole parquet file ({reason}): run `foresight data repair`, or copy "
            "it again."
        ) from error


def episodes_schema(schema: Schema) -> pa.Schema:
    """Arrow schema of ``meta/episodes``: LeRobot's columns, then this package's own."""
    integer, number, text = pa.int64(), pa.float64(), pa.string()
    kinds: dict[str, pa.DataType] = {
        "episode_index": integer,
        "tasks": pa.list_(text),
        "length": integer,
        "dataset_from_index": integer,
        "dataset_to_index": integer,
        "data/chunk_index": integer,
        "data/file_index": integer,
    }
    if schema.image is not None:
        kinds |= {f"videos/{VIDEO_KEY}/{name}": integer for name in ("chunk_index", "file_index")}
        kinds |= {f"videos/{VIDEO_KEY}/{name}_timestamp": number for name in ("from", "to")}
    kinds |= {"meta/episodes/chunk_index": integer, "meta/episodes/file_index": integer}
    kinds |= {name: text for name in ("behaviour", "protocol", "spec_hash", "data_hash")}
    kinds |= {"seed": integer, "steps": integer, "return": number, "success": pa.bool_()}
    for name, feature in schema.features().items():
        picture = feature["dtype"] == "video"
        values = pa.list_(pa.list_(pa.list_(number))) if picture else pa.list_(number)
        for stat in NAMES:
            kinds[f"stats/{name}/{stat}"] = pa.list_(integer) if stat == "count" else values
    if schema.image is not None:
        kinds |= {"video_hash": text, LEVELS_COLUMN: pa.list_(integer)}
    return pa.schema([pa.field(name, kind) for name, kind in kinds.items()])


def episode_row(record: Record, schema: Schema) -> dict[str, Any]:
    """A record as a row of ``meta/episodes``."""
    row = place_columns(record.meta, schema)
    if record.levels is not None:
        row[LEVELS_COLUMN] = record.levels.reshape(-1).tolist()
    for name, stats in record.stats.items():
        row |= {f"stats/{name}/{stat}": values for stat, values in stats.items()}
    return row


def place_columns(meta: EpisodeMeta, schema: Schema) -> dict[str, Any]:
    """The columns of ``meta/episodes`` that follow from the episode's description."""
    row: dict[str, Any] = {
        "episode_index": meta.index,
        "tasks": [meta.task],
        "length": meta.length,
        "dataset_from_index": meta.start,
        "dataset_to_index": meta.start + meta.length,
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
        "return": meta.return_,
    }
    row["data/chunk_index"], row["data/file_index"] = place(meta.data_file)
    own = ("behaviour", "protocol", "spec_hash", "data_hash", "seed", "steps", "success")
    row |= {name: getattr(meta, name) for name in own}
    if meta.video_file is not None:
        key = f"videos/{VIDEO_KEY}"
        row[f"{key}/chunk_index"], row[f"{key}/file_index"] = place(meta.video_file)
        row |= {f"{key}/from_timestamp": 0.0, f"{key}/to_timestamp": meta.length / schema.fps}
        row["video_hash"] = meta.video_hash
    return row


def metas_of(table: pa.Table, chunks_size: int) -> list[EpisodeMeta]:
    """The episodes' descriptions from the table in ``meta/episodes``."""
    wanted = [name for name in table.column_names if not name.startswith(("stats/", "levels/"))]
    return [_meta(row, chunks_size) for row in table.select(wanted).to_pylist()]


def _meta(row: dict[str, Any], chunks_size: int) -> EpisodeMeta:
    def number(prefix: str) -> int | None:
        if f"{prefix}/chunk_index" not in row:
            return None
        return row[f"{prefix}/chunk_index"] * chunks_size + row[f"{prefix}/file_index"]

    found = {field.name: row.get(field.name) for field in fields(EpisodeMeta)}
    return EpisodeMeta(
        **{
            **found,
            "index": row["episode_index"],
            "start": row["dataset_from_index"],
            "task": row["tasks"][0],
            "return_": row["return"],
            "data_file": number("data"),
            "video_file": number(f"videos/{VIDEO_KEY}"),
        }
    )


def _to_arrow(array: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
    return flat


def _footer(record: Record, schema: Schema) -> str:
    value = {
        "meta": asdict(record.meta),
        "schema": asdict(schema),
        "levels": None if record.levels is None else _pack(record.levels),
        "stats": record.stats,
    }
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _pack(levels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(levels.astype("<i8").tobytes(), 6)).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").reshape(3, -1)
