"""``foresight report``: the page of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Config:
    """Write the self-contained HTML page of a finished run."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder that `foresight run` worked in."""


def main(config: Config) -> None:
    """Write the page and say where."""
    from foresight.recipes.pages import road_page

    print(f"report: {road_page(config.run)}")
