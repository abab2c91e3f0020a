"""The folder where Foresight keeps what it makes for the user once and reads many times."""

from __future__ import annotations

import os
from pathlib import Path


def foresight_home() -> Path:
    """``$FORESIGHT_HOME`` where it is set, else ``~/.cache/foresight``; not created here."""
    chosen = os.environ.get("FORESIGHT_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "foresight"
