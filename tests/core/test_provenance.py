"""Where numbers come from: revision, versions, and no crash where there is no git."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import foresight
from foresight.core import provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository with one commit, in which the package seems to lie."""
    package = tmp_path / "src" / "foresight"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "a.json").write_text("{}")
    commit(tmp_path)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    return tmp_path


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(folder: Path) -> str:
    """Make a repository of a folder; its first commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    git(folder, "init", "-q")
    git(folder, "add", ".")
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    git(folder, *who, "commit", "-q", "--allow-empty", "-m", "one")
    return git(folder, "rev-parse", "HEAD")


def test_revision_of_a_clean_tree(checkout):
    assert provenance.git_revision() == git(checkout, "rev-parse", "HEAD")


def test_changed_sources_are_dirty_and_new_or_result_files_are_not(checkout):
    (checkout / "notes.txt").write_text("untracked")
    (checkout / "results" / "a.json").write_text('{"changed": 1}')
    assert not provenance.git_revision().endswith("-dirty")
    (checkout / "src" / "foresight" / "__init__.py").write_text("changed")
    assert provenance.git_revision() == git(checkout, "rev-parse", "HEAD") + "-dirty"


def test_no_repository_and_no_git(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "src" / "foresight")
    assert provenance.git_revision() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.git_revision() == "unknown"


@pytest.mark.parametrize("inside", ["venv/site-packages/foresight", "vendored/src/foresight"])
def test_a_surrounding_repository_is_never_asked(tmp_path, monkeypatch, inside):
    package = tmp_path / inside
    package.mkdir(parents=True)
    (package.parents[1] / "pyproject.toml").write_text("")
    commit(tmp_path)
    monkeypatch.setattr(provenance, "PACKAGE", package)
    assert provenance.git_revision() == "unknown"
    (package / provenance.BUILD_FILE).write_text('{"revision": "abc"}')
    assert provenance.git_revision() == "abc"


def test_another_project_with_the_same_layout_is_not_asked(checkout, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", checkout / "lib" / "foresight")
    assert provenance.git_revision() == "unknown"


def build(folder: Path, out: Path) -> Path:
    """The wheel of a source tree, built by this environment's hatchling without the network."""
    words = "wheel -q --no-deps --no-build-isolation --no-index --disable-pip-version-check"
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words.split(), "-w", str(out), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


def running_revision(site: Path, cwd: Path) -> str:
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import foresight.core.provenance as p; "
    code += f"assert p.__file__.startswith({str(site)!r}), p.__file__; print(p.git_revision())"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_an_installed_wheel_names_the_commit_that_it_was_built_from(tmp_path):
    source = tmp_path / "source"
    (source / "src").mkdir(parents=True)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, source)
    skipped = shutil.ignore_patterns("__pycache__", "encoders", "native")
    shutil.copytree(ROOT / "src" / "foresight", source / "src" / "foresight", ignore=skipped)
    revision = commit(source)
    wheel = build(source, tmp_path / "out")
    assert wheel.name.startswith(f"foresight_robotics-{foresight.__version__}-")
    assert git(source, "status", "--porcelain") == ""  # nothing is left in the sources

    project = tmp_path / "project"  # the user's own repository, with the package inside
    site = project / "venv" / "site-packages"
    site.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    assert commit(project) != revision
    assert running_revision(site, project) == revision

    # Unpacked sources that lie in another repository know no commit but the one they brought.
    unpacked = project / "unpacked"
    shutil.copytree(source, unpacked, ignore=shutil.ignore_patterns(".git"))
    with zipfile.ZipFile(build(unpacked, tmp_path / "second")) as archive:
        assert json.loads(archive.read("foresight/build.json")) == {"revision": "unknown"}
    (unpacked / "src" / "foresight" / "build.json").write_text(f'{{"revision": "{revision}"}}')
    with zipfile.ZipFile(build(unpacked, tmp_path / "third")) as archive:
        assert json.loads(archive.read("foresight/build.json")) == {"revision": revision}


def test_versions():
    found = provenance.versions()
    assert found["python"] == platform.python_version()
    assert found["mujoco"] == "3.3.2"
    assert found["foresight"] == foresight.__version__
    assert "absent" not in found.values()
    assert provenance.versions(["no-such-package"])["no-such-package"] == "absent"
