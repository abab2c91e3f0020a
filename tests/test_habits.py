"""What holds the repository together: versions, sizes of files, hooks, pins."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import foresight
from requirements import closure, plain

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES = PROJECT["project"]["dependencies"]
PINS = {
    plain(Requirement(line).name): str(Requirement(line).specifier)
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
}


def test_the_version_stands_in_one_place():
    assert PROJECT["project"]["dynamic"] == ["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == foresight.__version__
    assert citation["repository-code"] == PROJECT["project"]["urls"]["Homepage"]


def test_every_requirement_is_pinned():
    groups = PROJECT["project"]["optional-dependencies"].values()
    for line in [
        *PROJECT["project"]["dependencies"],
        *(line for group in groups for line in group),
    ]:
        wanted = Requirement(line)
        if wanted.name != "foresight-robotics":
            pin = PINS[plain(wanted.name)]
            assert pin.startswith("=="), line
            assert wanted.specifier.contains(pin.removeprefix("==")), line


def test_pins_are_what_runs_here():
    """A package of the environment that nobody pinned would differ on the next machine."""
    tools = {"pip", "setuptools", "wheel", "foresight-robotics"}
    everything = PROJECT["project"]["optional-dependencies"]["dev"]
    names = {plain(found.metadata["Name"]) for found in closure([*DEPENDENCIES, *everything])}
    of_cuda = {name for name in names if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert not names - tools - of_cuda - set(PINS)


def test_the_plugins_environment_adds_pinned_packages_and_replaces_none():
    """They are installed beside links to the packages of .venv: pip must not touch those."""
    lines = (ROOT / "plugins/lerobot_policy_foresight/constraints.txt").read_text().splitlines()
    added = [Requirement(line) for line in lines]
    assert added and all(str(each.specifier).startswith("==") for each in added)
    assert not {plain(each.name) for each in added} & set(PINS)


def large_files(*words: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "large_files.py"
    return subprocess.run(
        [sys.executable, str(script), *words], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_no_large_file_is_tracked():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = large_files()
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("path", "size", "fine"),
    [
        ("src/a.py", 150_000, True),
        ("src/weights.safetensors", 250_000, False),
        ("src/foresight/perception/encoders/a/model.safetensors", 11_000_000, True),
        ("results/a.json", 99_000, True),
        ("results/a.json", 101_000, False),
        ("results/a.rows.parquet", 250_000, True),
    ],
)
def test_what_is_too_large(tmp_path, path, size, fine):
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(bytes(size))
    done = large_files(path, cwd=tmp_path)
    assert done.returncode == (0 if fine else 1)
    assert (f"{path} has {size:,} bytes" in done.stderr) is not fine


def test_all_results_together(tmp_path):
    (tmp_path / "results").mkdir()
    names = [f"results/{i}.parquet" for i in range(21)]
    for name in names:
        (tmp_path / name).write_bytes(bytes(290_000))
    assert large_files(*names[:20], cwd=tmp_path).returncode == 0
    assert "results/ has 6,090,000 bytes" in large_files(*names, cwd=tmp_path).stderr


def test_hooks_and_hosted_checks_call_what_exists():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (local,) = hooks["repos"]
    assert local["repo"] == "local"  # a hook from elsewhere would need the network
    for hook in local["hooks"]:
        tool = Path(hook["entry"].split()[0])
        there = Path(sys.executable).parent / tool.name if ".venv" in tool.parts else ROOT / tool
        assert there.exists(), hook
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for job in workflow["jobs"].values() for step in job["steps"]]
    called = {target for run in steps for target in re.findall(r"make ([a-z-]+)", run)}
    assert called >= {"lint", "test"} and called <= targets
    assert {"make lint", "make test"} <= set((ROOT / ".ci/run").read_text().splitlines())
