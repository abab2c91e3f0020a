"""What tells one dataset from another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from foresight.core.files import fingerprint
from foresight.data.catalog import Index

SAMPLE = 65536
"""Bytes read at the begin and at the end of a foreign file."""


def dataset_fingerprint(root: Path, index: Index) -> str:
    """Hash of what a dataset holds.

    Of ours the hashes that were taken when episodes were written; no data file is read. Of another
    program's file its size, begin and end, where parquet keeps its statistics and videos their
    index.
    """
    schema = index.schema.to_json()
    for name in ("features", "foresight"):
        schema.setdefault(name, None)
    rows = []
    samples: dict[str, str] = {}
    for meta in index.metas:
        row = [list(meta.tasks), meta.length, dict(meta.info), meta.data_hash]
        row += [[key, v.first, v.hash] for key, v in sorted(meta.videos.items())]
        rows.append(row)
        if not meta.own:
            for path in (meta.data, *(video.path for video in meta.videos.values())):
                if path not in samples:
                    samples[path] = _sample(root / path)
    kept = {name: schema[name] for name in ("fps", "features", "foresight")}
    return fingerprint([kept, rows, samples])


def _sample(path: Path) -> str:
    """Hash of a file's size, begin and end; empty for one that is missing."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            digest.update(str(size).encode())
            file.seek(0)
            digest.update(file.read(SAMPLE))
            file.seek(max(0, size - SAMPLE))
            digest.update(file.read(SAMPLE))
    except OSError:
        return ""
    return digest.hexdigest()[:16]
