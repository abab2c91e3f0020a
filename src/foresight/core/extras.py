"""Packages that only some rooms need, and the extra of the distribution that brings each."""

from __future__ import annotations

from importlib.util import find_spec

from foresight.core.errors import ForesightError

DISTRIBUTION = "foresight-robotics"
"""The name for pip. What it brings is imported as ``foresight``."""

EXTRAS = {
    "dm_control": "dmc",
    "mujoco": "dmc",
    "metaworld": "metaworld",
    "stable_baselines3": "ppo",
    "h5py": "hdf5",
    "huggingface_hub": "hub",
    "transformers": "hub",
    "tensorboard": "tensorboard",
    "msgpack": "serve",
    "websockets": "serve",
}
"""Name of a package, as it is imported, to the extra that installs it."""


def install_command(extra: str) -> str:
    """What to type to get an extra."""
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def require(package: str, purpose: str) -> None:
    """Refuse to go on without a package of an extra; imports nothing.

    Args:
        package: a key of :data:`EXTRAS`.
        purpose: what needs it, as the subject of the sentence: ``"Rendering dm_control's scenes"``.

    Raises:
        ForesightError: the package is not installed.
    """
    try:
        found = find_spec(package) is not None
    except (ImportError, ValueError):  # a finder that refuses, or a broken half of a package
        found = False
    if not found:
        raise ForesightError(
            f"{purpose} needs {package}, which is not installed: run "
            f"`{install_command(EXTRAS[package])}`."
        )


def explain(error: ImportError) -> str | None:
    """The sentence for an import that failed because an extra is missing; None for another."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return (
        f"This needs {package}, which is not installed: run `{install_command(EXTRAS[package])}`."
    )
