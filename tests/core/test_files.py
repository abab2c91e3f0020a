"""Atomic files, fingerprints and plain-sentence disk errors."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from foresight.core import files
from foresight.core.errors import ForesightError


@dataclass(frozen=True)
class Point:
    x: int
    y: float


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_makes_folders_and_leaves_no_rest(tmp_path):
    path = tmp_path / "a" / "b.txt"
    files.atomic_write(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
    assert names(path.parent) == ["b.txt"]


def test_a_write_that_breaks_keeps_the_old_file(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")

    def half(temporary: Path) -> None:
        temporary.write_text("ha")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        files.atomic_write(path, half)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["b.txt"]


def test_the_old_file_is_whole_until_the_rename(tmp_path):
    path = tmp_path / "b.txt"
    path.write_text("old")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("new")
        seen.append(path.read_text())

    files.atomic_write(path, write)
    assert seen == ["old"] and path.read_text() == "new"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "disk is full"),
        (errno.EACCES, "Cannot write"),
        (errno.EROFS, "Cannot write"),
    ],
)
def test_disk_errors_become_sentences(number, words):
    with pytest.raises(ForesightError, match=words) as caught, files.disk_errors("/some/where"):
        raise OSError(number, os.strerror(number))
    assert "/some/where" in str(caught.value)


def test_other_os_errors_stay_what_they_are():
    with pytest.raises(OSError, match="strange"), files.disk_errors("x"):
        raise OSError(errno.EIO, "strange")


def test_a_file_in_the_place_of_a_folder(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises((ForesightError, FileExistsError)):
        files.write_json(tmp_path / "a" / "b.json", {})


def test_json_there_and_back(tmp_path):
    path = tmp_path / "x.json"
    value = {
        "point": Point(1, 2.5),
        "path": Path("a/b"),
        "scalar": np.float32(0.5),
        "array": np.arange(3),
        "tensor": torch.ones(2),
        "words": "ü",
    }
    files.write_json(path, value)
    assert files.read_json(path) == {
        "point": {"x": 1, "y": 2.5},
        "path": "a/b",
        "scalar": 0.5,
        "array": [0, 1, 2],
        "tensor": [1.0, 1.0],
        "words": "ü",
    }
    assert path.read_text().endswith("}\n")


def test_json_refuses_nan_and_strangers(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    with pytest.raises(TypeError, match="object does not fit"):
        files.write_json(tmp_path / "x.json", {"a": object()})
    assert names(tmp_path) == []


def test_json_that_is_missing_or_damaged(tmp_path):
    with pytest.raises(ForesightError, match="does not exist"):
        files.read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_text('{"a": 1')
    with pytest.raises(ForesightError, match="not valid JSON"):
        files.read_json(tmp_path / "x.json")
    (tmp_path / "x.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ForesightError, match="not valid JSON"):
        files.read_json(tmp_path / "x.json")


def test_fingerprints_are_stable_and_tell_apart():
    assert files.fingerprint({"a": 1, "b": 2}) == files.fingerprint({"b": 2, "a": 1})
    assert files.fingerprint(Point(1, 2.0)) == files.fingerprint({"x": 1, "y": 2.0})
    assert files.fingerprint({"a": 1}) != files.fingerprint({"a": 2})
    assert files.fingerprint([1, 2]) != files.fingerprint([2, 1])
    # Caches on disk are found by this hash: it may not change from one version to the next.
    assert files.fingerprint({"a": 1}) == "f9d86028c6e0d64e"


def test_a_late_field_counts_once_it_is_used():
    @dataclass(frozen=True)
    class Inner:
        y: float = 2.0
        wide: int = files.late(0)

    @dataclass(frozen=True)
    class Outer:
        x: int = 1
        inner: tuple[Inner, ...] = (Inner(),)
        lapse: int = files.late(0)

    as_it_was = files.fingerprint({"config": {"x": 1, "inner": [{"y": 2.0}]}})
    assert files.fingerprint({"config": Outer()}) == as_it_was
    for used in (Outer(lapse=1), Outer(inner=(Inner(wide=1),)), Outer(x=2)):
        assert files.fingerprint({"config": used}) != as_it_was
    assert files.plain_json(Outer())["lapse"] == 0  # what is shown is whole


def test_file_fingerprint_is_the_one_of_its_bytes(tmp_path):
    content = json.dumps(list(range(1000))).encode()
    (tmp_path / "x").write_bytes(content)
    assert files.file_fingerprint(tmp_path / "x") == files.fingerprint(content)
