"""Where numbers come from: revision, versions, and no crash where there is no git."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from foresight.core import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, in which ``foresight.core.provenance`` seems to lie."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    source = tmp_path / "src" / "foresight" / "provenance.py"
    source.parent.mkdir(parents=True)
    source.write_text("")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text("{}")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "-m", "one")
    monkeypatch.setattr(provenance, "__file__", str(source))
    return tmp_path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_revision_of_a_clean_tree(checkout):
    assert provenance.git_revision() == git(checkout, "rev-parse", "HEAD")


def test_changed_sources_are_dirty_and_new_or_result_files_are_not(checkout):
    (checkout / "notes.txt").write_text("untracked")
    (checkout / "results" / "a.json").write_text('{"changed": 1}')
    assert not provenance.git_revision().endswith("-dirty")
    (checkout / "src" / "foresight" / "provenance.py").write_text("changed")
    assert provenance.git_revision() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_no_repository_and_no_git(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.git_revision() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_revision() == "unknown"


def test_versions(monkeypatch):
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["mujoco"] == "3.3.2"
    assert "absent" not in found.values()
    monkeypatch.setattr(provenance, "PACKAGES", ("no-such-package",))
    assert provenance.versions()["no-such-package"] == "absent"
