"""The package with nothing but its hard requirements: what works, and what names its extra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from foresight.core.extras import EXTRAS, explain, install_command
from requirements import closure

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

NEED_EXTRA = ("foresight.experts.", "foresight.serving.client", "foresight.serving.server")
"""Modules that may import a package of an extra as they are imported."""

IMPORT_ALL = """
import importlib, pkgutil, sys
import foresight
for module in pkgutil.walk_packages(foresight.__path__, "foresight."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        print(module.name, error.name)
"""


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python whose packages are those of ``pip install foresight-robotics``, and no others."""
    home = tmp_path_factory.mktemp("light") / "venv"
    venv.create(home, symlinks=True, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    for distribution in closure(PROJECT["dependencies"]):
        for file in distribution.files or []:
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (site / top).exists():
                (site / top).symlink_to(Path(str(distribution.locate_file(top))).resolve())
    (site / "foresight").symlink_to(ROOT / "src" / "foresight")
    return home / "bin" / "python"


def run(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    hidden = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    return subprocess.run(
        [str(python), *words], env=env, cwd="/", capture_output=True, text=True, check=False
    )


def test_every_module_imports_without_extras(light):
    done = run(light, "-c", IMPORT_ALL)
    assert done.returncode == 0, done.stderr
    failed = dict(line.split() for line in done.stdout.splitlines())
    known = {*EXTRAS, "studies", "benchmarks"}  # those two lie in a checkout only
    unknown = {module: name for module, name in failed.items() if name not in known}
    assert not unknown, "missing among the dependencies of pyproject.toml"
    heavy = [
        module
        for module, name in failed.items()
        if name in EXTRAS and not module.startswith(NEED_EXTRA)
    ]
    assert not heavy, "import the package of an extra inside the function that needs it"


def test_help_and_doctor_without_extras(light):
    done = run(light, "-m", "foresight", "--help")
    assert done.returncode == 0 and "usage: foresight" in done.stdout
    done = run(light, "-m", "foresight", "doctor", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["healthy"]
    checks = {check["name"]: check for check in found["checks"]}
    every = "dmc,hdf5,hub,metaworld,ppo,serve,tensorboard"
    assert checks["extras"]["fix"] == install_command(every)
    assert checks["rendering"]["fix"] == install_command("dmc")
    assert checks["encoders"]["fix"] == install_command("hub")


SENTENCES = """
import contextlib, io, json, sys
from foresight.cli import main
from foresight.core.errors import ForesightError
from foresight.perception.encoder import load_encoder
told = []
for line in sys.argv[1:]:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(line.split())
    told.append((code, said.getvalue()))
try:
    load_encoder("facebook/vjepa2-vitl-fpc64-256")
except ForesightError as error:
    told.append((2, f"foresight: {error}\\n"))
print(json.dumps(told))
"""


def test_one_sentence_names_the_extra(light):
    needs = {
        "collect reacher-easy --out /nowhere/data": "dmc",
        "data import /nowhere --out /nowhere/data": "hdf5",
        "encode /nowhere --encoder facebook/vjepa2-vitl-fpc64-256": None,
    }
    done = run(light, "-c", SENTENCES, *needs)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    for (code, said), extra in zip(told, [*needs.values(), "hub"], strict=True):
        assert code == 2, said
        assert said.startswith("foresight: ") and said.count("\n") == 1, said
        assert extra is None or install_command(extra) in said


def test_no_process_imports_an_extra_by_itself():
    """With all extras installed, too, what needs none of them loads none."""
    code = "import sys; from foresight.cli import main; main(['--help']); "
    code += "import foresight.data, foresight.training; "
    code += f"print([name for name in {sorted(EXTRAS)} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.endswith("[]\n"), done.stdout + done.stderr


def test_every_extra_is_in_pyproject():
    assert set(EXTRAS.values()) <= set(PROJECT["optional-dependencies"])
    for package, extra in EXTRAS.items():
        names = [Requirement(line).name for line in PROJECT["optional-dependencies"][extra]]
        assert package in [name.replace("-", "_") for name in names], (package, extra)


def test_other_import_errors_are_not_explained():
    assert explain(ImportError("cannot import name", name="foresight.core")) is None
    assert explain(ImportError("no name")) is None
    said = explain(ModuleNotFoundError("No module named 'mujoco.x'", name="mujoco.x"))
    assert said is not None and 'pip install "foresight-robotics[dmc]"' in said


def test_texts_name_the_distribution():
    """`pip install foresight` would bring another program."""
    folders = ("src", "docs", "studies", "benchmarks", "scripts", ".github")
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "Makefile"]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    wrong = []
    for path in files:
        if path.suffix in (".py", ".md", ".toml", ".yml", ".html", "") and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                words = line.replace("foresight-robotics", "")
                if "pip install" in words and "foresight" in words.partition("pip install")[2]:
                    wrong.append(f"{path}: {line}")
    assert not wrong
