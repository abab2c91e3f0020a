from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from foresight.native import build as module
from foresight.native.build import library, why_not


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A home without compiled files, and no memory of earlier answers."""
    monkeypatch.setenv("FORESIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORESIGHT_NATIVE", raising=False)
    monkeypatch.delenv("CXX", raising=False)
    module._found.cache_clear()
    yield tmp_path
    module._found.cache_clear()


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def amx(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")


def test_off_by_the_environment(fresh, monkeypatch):
    monkeypatch.setenv("FORESIGHT_NATIVE", "0")
    assert library() is None and why_not() == "FORESIGHT_NATIVE is 0"


def test_other_machines_are_named(fresh, amx, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "aarch64")
    assert library() is None and why_not() == "it is for Linux on x86-64"
    module._found.cache_clear()
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    assert library() is None and why_not() == "the processor has no AMX"


def test_no_compiler(fresh, amx, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library() is None and why_not() == "there is no C++ compiler (no-such-compiler)"


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(fresh, amx, monkeypatch):
    text = "echo note >&2; echo 'error: unknown value sapphirerapids' >&2; exit 1"
    monkeypatch.setenv("CXX", script(fresh / "old-compiler", text))
    assert library() is None
    assert why_not().endswith("cannot compile it: error: unknown value sapphirerapids")
    assert not list((fresh / "home" / "native").iterdir())


def test_a_damaged_file_is_no_error(fresh, amx, monkeypatch):
    monkeypatch.setenv("CXX", script(fresh / "compiler", 'for last; do :; done; echo no > "$last"'))
    assert library() is None and "library-" in why_not()


def test_a_folder_that_cannot_be_written_is_no_error(fresh, amx, monkeypatch):
    (fresh / "home").write_text("a file")
    monkeypatch.setenv("CXX", script(fresh / "compiler", "exit 0"))
    assert library() is None and why_not()


@pytest.mark.skipif(library() is None, reason=f"no native encoder: {why_not()}")
def test_compiled_once_for_all_processes(fresh):
    code = (
        "from foresight.native import library, why_not; assert library(), why_not(); "
        "from foresight.native.build import FLAGS, PARTS, built; print(built(PARTS, FLAGS))"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {run.communicate()[0].strip() for run in runs}
    assert [run.returncode for run in runs] == [0, 0]
    assert len(places) == 1
    made = os.stat(places.pop()).st_mtime_ns
    monkey = {**os.environ, "CXX": "no-such-compiler"}  # not needed again
    subprocess.run(command, check=True, env=monkey, capture_output=True)
    files = list((fresh / "home" / "native").iterdir())
    assert len(files) == 1 and files[0].stat().st_mtime_ns == made


def test_every_source_decides_the_name():
    folder = Path(module.__file__).parent
    files = {path for path in folder.iterdir() if path.suffix in (".cpp", ".hpp")}
    assert set(module.PARTS) == files and module.SOURCE in files
